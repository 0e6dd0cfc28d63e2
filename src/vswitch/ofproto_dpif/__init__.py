"""That switch over a dpif: construct, translation, facets, upcalls, expiration."""
