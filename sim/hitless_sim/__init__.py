"""Runs the real machines of hitless_handover in virtual time against faults, and judges the result.

`python -m hitless_sim --help`; docs/simulator.md says how it is built and how to read a failure.
"""
