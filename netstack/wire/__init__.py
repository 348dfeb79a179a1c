"""Bytes to values and back: headers as their RFCs lay them out. No state."""
