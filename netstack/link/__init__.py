"""Where frames leave and come from: devices, and wrappers around devices."""
