"""The test sheet of the example cell: given, when, then, in words that fit a bench and a running service alike."""
