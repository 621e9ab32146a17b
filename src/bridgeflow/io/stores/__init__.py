"""Object stores and web servers, by the packages of fsspec: bytes by ranges, listings, and conditional puts."""
