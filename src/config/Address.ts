/** The address of a server as a project has it: `git@/home/ada/site`, a name in the pool like any other. Pure. */

/** Of a server in a project's directory, an absolute path. */
export const make = (server: string, directory: string): string => `${server}@${directory}`

/** The server and the directory in an address; undefined for a name without one. */
export const parse = (address: string): { readonly server: string; readonly directory: string } | undefined => {
  const at = address.indexOf("@/")
  return at < 1 ? undefined : { server: address.slice(0, at), directory: address.slice(at + 1) }
}

/** As people read it: the home directory is `~`. */
export const shorten = (address: string, home: string): string => {
  const found = parse(address)
  if (found === undefined || home === "/" || !`${found.directory}/`.startsWith(`${home}/`)) return address
  return make(found.server, `~${found.directory.slice(home.length)}`)
}

/** What {@link shorten} made of an address, whole again: people copy what they read. */
export const expand = (address: string, home: string): string => {
  const at = address.indexOf("@~/")
  return at < 1 ? address : make(address.slice(0, at), `${home}${address.slice(at + 2)}`)
}
