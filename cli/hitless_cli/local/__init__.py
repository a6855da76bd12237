"""`hitless local`: one channel, its origin and its encoders as child processes of one machine.

The supervisor is the one that runs in the Kubernetes operator; this package observes and acts for
it with processes instead of pods. It imports no other component: encoder and origin are programs.
"""
