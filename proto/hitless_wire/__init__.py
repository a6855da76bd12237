"""What the parts of Hitless say to each other: gRPC messages, resources, ingest, and their clients.

Owns every format that crosses a process boundary and its translation to and from core values.
It decides nothing. Operator, encoder, origin and CLI use it; it uses only hitless_handover.
"""
