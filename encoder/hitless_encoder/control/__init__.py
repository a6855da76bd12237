"""The encoder's part in handovers: gRPC in and out around the pure machine of hitless_handover."""
