"""E-mail: lays a message out as text and HTML, and hands it to an SMTP server through Django's mail."""
