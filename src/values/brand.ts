declare const brandKey: unique symbol

/** A `Base` that only the parser of `Name` can make; it exists in types alone. */
export type Brand<Base, Name extends string> = Base & { readonly [brandKey]: Name }
