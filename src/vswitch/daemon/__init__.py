"""The vswitchd process: main loop and unixctl server."""
