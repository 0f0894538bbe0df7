"""Which certificates are whose: trust, standing, first contact, approval, Reset."""
