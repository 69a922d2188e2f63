import type { Target } from '../target.js'
import { accept } from './accept.js'
import { compare } from './compare.js'
import { config, webConfig } from './config-files.js'
import { exposition } from './exposition.js'
import { notifications } from './notifications.js'
import { numbers } from './numbers.js'
import { parsers } from './parsers.js'
import { registryLines } from './registry-lines.js'
import { registryPage } from './registry-page.js'
import { authorization, requests } from './requests.js'
import { stanzas } from './stanzas.js'
import { stream } from './stream.js'

export const TARGETS: readonly Target[] = [
  registryLines,
  registryPage,
  stanzas,
  stream,
  exposition,
  accept,
  numbers,
  parsers,
  compare,
  config,
  webConfig,
  requests,
  authorization,
  notifications,
]
