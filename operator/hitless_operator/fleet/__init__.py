"""Updates of many channels: the shell around `hitless_handover.fleet`.

`reconcile.py` looks at one EncoderUpdate: it reads the update and the channels, lets the planner
decide, stores, and writes channels. `watch.py` of the operator feeds its queue.
"""
