"""Generated from proto/ by hack/generate: do not edit."""
