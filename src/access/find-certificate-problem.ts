import { X509Certificate } from 'node:crypto'
import type { TlsConfig } from './read-tls.js'

/**
 * Returns one line for the operator if the certificate of the exporter is not valid at a given time, else `undefined`,
 * which is also the result without TLS.
 * Browsers and Prometheus reject such a certificate, but the exporter continues to use it.
 */
export function findCertificateProblem(tls: TlsConfig | undefined, now: Date): string | undefined {
  if (tls === undefined) return undefined
  const { validFrom, validTo } = new X509Certificate(tls.options.cert as string)
  const [start, end] = [new Date(validFrom), new Date(validTo)]
  const replace = 'Replace the certificate in tls_server_config of --web.config.file.'
  if (now > end) return `The TLS certificate of the exporter expired on ${toDay(end)}. ${replace}`
  if (now < start)
    return `The TLS certificate of the exporter is not valid before ${toDay(start)}. ${replace}`
  return undefined
}

const toDay = (date: Date) => date.toISOString().slice(0, 10)
