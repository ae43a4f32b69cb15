"""Several workers on one port: started, watched, replaced and stopped by a process that answers no call itself."""
