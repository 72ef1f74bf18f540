"""A database engine for Django: PostgreSQL that is found or started on the first connection."""
