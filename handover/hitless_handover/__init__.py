"""The pure core of Hitless: values in, values out.

Owns the timeline, terms, the state machines of peers and supervisor, the origin's selection rule
and the invariants. It must not read a clock, draw a random number, log, or do I/O: time is an
argument and the next wake-up an output. Encoder, origin, operator and CLI call it; it calls nobody.
"""
