"""Vitrine: image features of product catalogs, searched, clustered, compared and served."""
