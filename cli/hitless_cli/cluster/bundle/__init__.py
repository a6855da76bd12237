"""`hitless bundle`: what support needs, in one archive without secrets.

`archive.py` owns the file, its bounds and its manifest; `collect.py` what goes in. Everything is
redacted on its way in, and Secrets are never asked for.
"""
