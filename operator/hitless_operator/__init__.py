"""The operator: watches EncoderDeployments and their pods, lets the pure supervisor decide, acts.

Owns everything that touches Kubernetes: the CRD, the translation of the CR status to and from the
supervisor's record, pod manifests, observation, and the one module that writes (`apply`). It makes
no decision about encoders, terms or handovers: `hitless_handover.supervisor` does. Its entrance is
`python -m hitless_operator`; docs/operator.md describes it.
"""
