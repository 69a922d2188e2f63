import { StanzaError } from '../errors.js'
import type { Ask } from './host-collector.js'

/**
 * Runs an API command of ejabberd that returns a number. mod_adhoc_api of ejabberd runs API commands as ad-hoc commands,
 * for the clients that the setting `api_permissions` of ejabberd allows. Without admin rights, ejabberd does not list
 * the API commands that the exporter can run, so the exporter runs them without looking at the list.
 *
 * @param args The arguments of the API command.
 * @param result The name of the result in the definition of the API command.
 * @returns The number, or undefined if ejabberd refuses the command, does not have it, or replies without the number.
 */
export async function readApiNumber(
  ask: Ask,
  command: string,
  args: Readonly<Record<string, string>>,
  result: string,
): Promise<number | undefined> {
  try {
    // ejabberd runs an API command immediately if the request has a form, even an empty one. It would reply to a
    // request without a form by asking for a form. The form has no FORM_TYPE, because ejabberd would use that field as
    // an argument of the API command, and the command would crash.
    const { form } = await ask.command(nodeOf(command), args, null)
    // If the exporter has no right to run the command, the reply has a field `error` instead of the number.
    const text = form?.fields.get(result)?.values[0] ?? ''
    return /^\d{1,9}$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (error instanceof StanzaError) return undefined
    throw error
  }
}

/**
 * Returns the value that ejabberd suggests for an argument of an API command, or undefined if ejabberd does not have the
 * command or suggests no value. Everybody may request the form with these values.
 */
export async function readApiDefault(
  ask: Ask,
  command: string,
  argument: string,
): Promise<string | undefined> {
  try {
    const form = await ask.form(nodeOf(command))
    return form?.fields.get(argument)?.values[0]
  } catch (error) {
    if (error instanceof StanzaError) return undefined
    throw error
  }
}

const nodeOf = (command: string) => `api-commands/${command}`
