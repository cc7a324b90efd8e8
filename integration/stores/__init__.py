"""Vector stores: servers, official clients, and requests that try to cross from one tenant to another."""
