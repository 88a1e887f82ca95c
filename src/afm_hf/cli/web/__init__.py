"""Commands that listen on a port: the web page, and the chat server."""
