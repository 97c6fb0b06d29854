"""The database: tables, their migrations, and the store on them."""
