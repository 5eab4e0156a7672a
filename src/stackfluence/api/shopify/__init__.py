"""The Shopify app: how a shop is connected, kept connected and let go.

admin     a shop's endpoints: OAuth, GraphQL            admin.graphql  what is asked of them
signing   what proves who sent a query or a token       keeping        what we hold of a shop, and its tokens' renewal
setup     hooks and pixel, registered in the shop       app_toml       the app's configuration file
routes    what members ask for                          arrivals       what Shopify sends: callback, opening, privacy
privacy   what people asked Shopify for, kept until it is done
"""
