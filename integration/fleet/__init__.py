"""A fleet of proxies and one service that counts for all of them: the real engine, and outages under load."""
