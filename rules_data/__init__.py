"""The sourced knowledge shipped with the service: data only, read and checked by `knowledge/`."""
