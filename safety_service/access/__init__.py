"""Who may call, and what: tokens, keys, certificates, scopes and rates. Nothing here knows gRPC or HTTP."""
