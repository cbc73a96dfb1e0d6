"""Links: one transmission as a library call, batched, for each way to encode and decode an image."""
