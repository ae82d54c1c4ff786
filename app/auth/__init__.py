"""Who is asking: Google sign-in, demo sign-in, sessions, API keys, permissions."""
