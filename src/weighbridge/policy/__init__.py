"""The one configuration document: read, checked, merged for a tenant, hashed, compiled."""
