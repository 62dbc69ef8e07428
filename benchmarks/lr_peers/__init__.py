"""Tools that name a learning rate, or need none; every one as its own manual says, with its defaults."""
