"""`hitless probe`: plays a published live stream as a player would, and counts what was wrong.

As a library: `hitless_cli.probe.session.probe(ProbeSettings(...))` gives a `ProbeReport`. The
package reads only what the stream publishes; it asks no API and imports no other component.
"""
