"""Stand-ins for outside providers: strict servers that speak the provider's protocol on loopback."""
