/** The page for people: what this is and where to look. It loads nothing from elsewhere. */
export function landingPage(version: string, telemetryPath: string): string {
  const path = escapeHtml(telemetryPath)
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Prosody Exporter</title>
</head>
<body>
<h1>Prosody Exporter</h1>
<p>Version ${escapeHtml(version)}. Statistics of a Prosody XMPP server for Prometheus.</p>
<ul>
<li><a href="${path}">Metrics</a> (${path})</li>
<li><a href="/-/healthy">Healthy</a>: this process answers</li>
<li><a href="/-/ready">Ready</a>: it is linked to the server and has collected once</li>
</ul>
</body>
</html>
`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
