"""The sweep: what does not depend on the checkpoint is done once, then only weights change."""
