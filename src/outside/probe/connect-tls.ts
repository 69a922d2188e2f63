import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'

/** Opens a TLS connection. It accepts each certificate, because `judgeCertificate` names all that is wrong with it. */
export function connectTls(options: ConnectionOptions): TLSSocket {
  const socket = connect({
    ...options,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  })
  // Node.js describes the whole chain for `checkServerIdentity`, which ignores it here. `getPeerX509Certificate` does
  // not use this method.
  socket.getPeerCertificate = (() => ({})) as TLSSocket['getPeerCertificate']
  return socket
}
