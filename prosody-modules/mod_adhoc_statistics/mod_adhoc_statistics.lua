-- Publishes Prosody's metrics through one ad-hoc command (XEP-0050). The command is for prosody-exporter, which is an
-- external component of the same Prosody. Load this module in the Component section of the exporter in prosody.cfg.lua.
-- README.md specifies the requests and replies.
--
-- This module is MIT/X11 licensed.

local adhoc_new = module:require "adhoc".new;
local jid_bare, jid_host, jid_prep = require "util.jid".bare, require "util.jid".host, require "util.jid".prep;
local new_id = require "util.uuid".generate;
local st = require "util.stanza";
local statsman = require "core.statsmanager";
local time_now = require "util.time".now;

local node = "urn:prosody-exporter:statistics:1";
local xmlns_cmd = "http://jabber.org/protocol/commands";
local xmlns_errors = "urn:ietf:params:xml:ns:xmpp-stanzas";

-- A request for hosts may contain at most this number of bytes of host names.
local max_names = 8 * 1024;
-- Minimum number of seconds between two collections of Prosody's statistics. All instances of the module and all
-- readers share this limit.
local min_collect_pause = 0.1;

local access = module:get_option_set("adhoc_statistics_access", {}) / jid_prep;
local collect_mode = module:get_option_string("statistics_collect", "auto");
if collect_mode ~= "auto" and collect_mode ~= "always" then
	module:log("error", "statistics_collect must be \"auto\" or \"always\", not %q; using \"auto\"", collect_mode);
	collect_mode = "auto";
end
-- The share of Prosody's CPU time that all readers of statistics together may use in the long run. Collections of
-- Prosody's statistics may use the same share in addition.
local max_share = module:get_option_number("adhoc_statistics_max_share", 0.25);
if type(max_share) ~= "number" or not (max_share > 0 and max_share <= 1) then
	module:log("error", "adhoc_statistics_max_share must be a number greater than 0 and at most 1; using 0.25");
	max_share = 0.25;
end

local form_lib = module:require "form";
local index_lib = module:require "index";
local legacy_lib = module:require "legacy";
local page_lib = module:require "page";
local reader_limits = module:require "reader_limits";
local text_lib = module:require "text";
local turn_limit = module:require "turn_limit";

-- Creates the <error/> element of an error reply (RFC 6120 §8.3).
local function new_error(type_, condition, text)
	return st.stanza("error", { type = type_ })
		:tag(condition, { xmlns = xmlns_errors }):up()
		:tag("text", { xmlns = xmlns_errors }):text(text):up();
end

-- Returns the index of all metrics. If statistics are switched off in Prosody, returns nil and an error message that
-- names the options to set.
local function get_index()
	if not statsman.get_metric_registry then
		local registry, err = legacy_lib.get_registry(statsman, time_now);
		return registry and index_lib.get_index(registry), err;
	end
	local registry = statsman.get_metric_registry();
	if registry then
		return index_lib.get_index(registry);
	end
	-- prosody-exporter searches this error message for "switched off" and for the value of statistics_interval.
	return nil, 'Statistics are switched off in Prosody: set statistics = "internal" and statistics_interval = "manual" '
		.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
end

-- The index of all metrics is built when the module loads. Metrics that are created later are added one by one.
local first_index, first_index_err = get_index();
if not first_index then
	module:log("error", "%s", first_index_err);
	-- COMPAT module:set_status() is new in Prosody 0.12.
	if module.set_status then module:set_status("error", first_index_err); end
end

if first_index then
	local counts = module:require "counts";
	-- COMPAT Before 0.12, Prosody has no metric registry. Then the additional metrics are in a registry of this module.
	counts.start(statsman.metric or function (...) return first_index.registry:metric(...); end);
	function module.unload()
		counts.stop();
	end
end

module:hook_global("openmetrics-updated", function ()
	local index = get_index();
	if index then index.updated = time_now(); end
end);

-- Makes Prosody collect its statistics, so that gauges are up to date. With a numeric statistics_interval, Prosody
-- collects at that interval and has no statsmanager.collect(). In that case this function collects only if
-- statistics_collect is "always": it fires the event stats-update. This function collects at most every 100 ms, and so
-- rarely that the handlers of stats-update use at most max_share of Prosody's time.
--
-- Returns a false value and an error message if a handler of stats-update failed. Prosody does not call the handlers
-- after the failed one, so the gauges that they set have outdated values.
local function collect(index)
	local run = statsman.collect;
	if not run and collect_mode == "always" and not index.registry.is_legacy then
		run = function () prosody.events.fire_event("stats-update"); end
	end
	if not run then return true; end
	local now = time_now();
	local pause = math.max(min_collect_pause, (index.collect_cost or 0) / max_share);
	if index.collected and now >= index.collected and now - index.collected < pause then
		return index.collect_error == nil, index.collect_error;
	end
	index.collected = now;
	local started = os.clock();
	local ok, err = pcall(run);
	index.collect_cost = os.clock() - started;
	index.collect_total = (index.collect_total or 0) + index.collect_cost;
	if ok then
		index.updated, index.collect_error = time_now(), nil;
		return true;
	end
	err = "A module's handler of stats-update failed, so gauges are outdated: "..tostring(err);
	if err ~= index.collect_error then
		module:log("error", "%s", err);
		index.collect_error = err;
	end
	return nil, err;
end

-- Logs messages that a reader can cause with every request. Messages of the same `kind` are logged at most once in ten
-- minutes, so that a reader cannot fill the log.
local logged_at = {};
local function log_throttled(level, kind, ...)
	local now = time_now();
	-- math.abs() is necessary because the system clock can be set back.
	if not logged_at[kind] or math.abs(now - logged_at[kind]) >= 600 then
		logged_at[kind] = now;
		module:log(level, ...);
	end
end

-- Returns words for a log message. They do not contain the reader's JID, because the log must not identify people.
local function describe_reader(reader)
	return reader == module.host and "The component" or "A reader in adhoc_statistics_access";
end

local too_many_requests = new_error("wait", "resource-constraint",
	"Too many requests arrived at the same time: request the next page of statistics after the previous page has arrived");
local share_exceeded = new_error("wait", "resource-constraint",
	"Reading statistics used more of Prosody's time than adhoc_statistics_max_share allows: read less often, or raise this option");
local unread_answers = new_error("wait", "policy-violation",
	"More than 512 KB of earlier answers are still unread: request the next page of statistics after the previous page has arrived");
local malformed_request = new_error("modify", "bad-request",
	"Malformed request: first and last must be ids from 1, since must be change numbers of earlier answers, "
			.."and since and hosts may have at most 8 KB");

local function send_page(index, origin, stanza, attr)
	local request = page_lib.parse_request(attr);
	if not request then return malformed_request; end
	if request.first == 1 then
		local ok, err = collect(index);
		if not ok then
			return new_error("wait", "internal-server-error", text_lib.truncate(text_lib.escape(err)));
		end
		-- During the collection, a module may have replaced a metric family.
		index:remove_dropped();
	end
	local page, texts = page_lib.build(index, request, node);
	-- The send() of an external component's stream accepts a string. If the request comes from a module of this
	-- Prosody, origin is a host without a connection. Its type can also be "component", but its send() accepts only
	-- stanzas.
	if origin.type == "component" and origin.conn then
		origin.send(page_lib.serialize(stanza, xmlns_cmd, page, texts));
	else
		local completed = { xmlns = xmlns_cmd; node = node; status = "completed" };
		origin.send(st.reply(stanza):tag("command", completed):add_child(page_lib.to_stanza(page, texts)));
	end
end

local function send_form(index, origin, stanza)
	collect(index);
	index:remove_dropped();
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	command.sessionid = stanza.tags[1].attr.sessionid or new_id();
	origin.send(st.reply(stanza):tag("command", command):add_child(form_lib.build(index)));
end

-- Replies with those of the requested names that are hosts of this Prosody. prosody-exporter asks for this before it
-- sends requests to configured hosts, because a stanza to any other name makes Prosody connect to a remote server. The
-- attribute `virtual` has the names that are a VirtualHost: only their users log in to this Prosody.
local function send_hosts(origin, stanza, names)
	if not names or #names > max_names then return malformed_request; end
	local hosts, virtual = {}, {};
	for name in names:gmatch("%S+") do
		local host = prosody.hosts[name];
		if host then hosts[#hosts + 1] = name; end
		if host and host.type == "local" then virtual[#virtual + 1] = name; end
	end
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	origin.send(st.reply(stanza):tag("command", command)
		:tag("hosts", { xmlns = node, virtual = table.concat(virtual, " ") }):text(table.concat(hosts, " ")));
end

local function is_hosts_request(stanza)
	return stanza.tags[1]:get_child("hosts", node) ~= nil;
end

-- Sends the reply to a reader's request, or returns an <error/> element without sending. Stores in `usage` the time
-- accounts to which serve() charges the time of the request.
local function answer(usage, reader, origin, stanza)
	local hosts = stanza.tags[1]:get_child("hosts", node);
	if hosts then
		return send_hosts(origin, stanza, hosts:get_text());
	end
	local index, err = get_index();
	err = err or index.registry.failure;
	if err then
		return new_error("cancel", "feature-not-implemented", err);
	end
	local request = stanza.tags[1]:get_child("statistics", node);
	local attr = request and request.attr;
	-- The reader's time limit is checked before the request is parsed, so that a refusal takes very little time.
	local accounts = reader_limits.admit(index, reader, max_share, time_now(), not attr or page_lib.is_start(attr));
	if not accounts then
		log_throttled("warn", reader, "%s used more of Prosody's time than adhoc_statistics_max_share allows; refusing requests for now",
			describe_reader(reader));
		return share_exceeded;
	end
	if reader_limits.has_unread_answers(origin.conn) then
		return unread_answers;
	end
	usage.accounts, usage.index, usage.collect_total = accounts, index, index.collect_total or 0;
	index:remove_dropped();
	return (attr and send_page or send_form)(index, origin, stanza, attr);
end

-- Returns the JID of the reader to whose time account the request is charged, or nil if the sender has no access. The
-- component in whose section this module is loaded has access, and so have the bare JIDs in adhoc_statistics_access.
-- Admin rights are neither required nor sufficient. A request from the component's address must arrive on the
-- component's own stream, because another component with validate_from_addresses = false can send from any address.
local function get_reader(origin, from)
	if origin.type == "component" and origin.host ~= jid_host(from) then
		return nil;
	end
	if from == module.host then
		return origin.type == "component" and origin.host == module.host and from or nil;
	end
	local bare = jid_bare(from);
	return access:contains(bare) and bare or nil;
end

-- Sends an error reply that contains the element `err`. If origin is a stream, `err` is not copied, so a refusal takes
-- about as much of Prosody's time as a ping. If origin is a host, the reply contains a copy, because modules of the
-- host may change it.
local function send_error(origin, stanza, err)
	local reply = st.reply(stanza);
	reply.attr.type = "error";
	reply:add_direct_child(origin.conn and err or st.clone(err));
	origin.send(reply);
end

local forbidden = new_error("auth", "forbidden",
	"Only the component "..module.host.." and the JIDs in adhoc_statistics_access may read statistics");

-- The time at which the component last received an answer to a request for statistics.
local answered_at = 0;

-- Sends the reply to a reader's request, or returns an <error/> element without sending. Charges the time of the
-- request to the limits in reader_limits.lib.lua and turn_limit.lib.lua.
local function serve(reader, origin, stanza)
	local started = os.clock();
	local usage = {};
	-- With pcall, the reader gets an error reply even if this module raises a Lua error. Without a reply, the reader
	-- would wait until its own timeout.
	local ok, result = pcall(answer, usage, reader, origin, stanza);
	local took = os.clock() - started;
	turn_limit.charge(took);
	if usage.accounts then
		-- The time of a collection is not charged to the reader, because collect() limits that time itself.
		reader_limits.charge(usage.accounts, took - ((usage.index.collect_total or 0) - usage.collect_total));
	end
	if reader == module.host and not is_hosts_request(stanza) then answered_at = turn_limit.now(); end
	if not ok then
		log_throttled("error", "failure", "Reading statistics failed: %s", result);
		result = new_error("cancel", "internal-server-error", "Reading statistics failed, see Prosody's log");
	end
	return result;
end

-- Handles the ad-hoc command before mod_adhoc does. In Prosody 0.10, mod_adhoc hooks the same event with priority 500.
-- In later versions, mod_adhoc hooks "iq-set/host/…", which Prosody fires after this event.
--
-- This module does not let mod_adhoc handle the command, for three reasons. mod_adhoc does not pass the session, which
-- the access check needs. The time of sending the reply could not be measured. And the payload could only be a data
-- form, in which one field takes as much time as a hundred metric values in the format of this module.
module:hook("iq/host/"..xmlns_cmd..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	if stanza.attr.type ~= "set" or stanza.tags[1].attr.node ~= node then
		return;
	end
	local reader = get_reader(origin, stanza.attr.from);
	local err;
	if not reader then
		err = forbidden;
	-- The component always gets an answer to a request for hosts, because that takes no more time than a refusal.
	elseif reader == module.host and is_hosts_request(stanza) or turn_limit.admit(reader == module.host and answered_at or nil) then
		err = serve(reader, origin, stanza);
	else
		err = too_many_requests;
		log_throttled("warn", too_many_requests, "%s sends too many requests at the same time; refusing some of them", describe_reader(reader));
	end
	if err then send_error(origin, stanza, err); end
	return true;
end, 510);

-- Adds the command to the list of commands that mod_adhoc announces.
-- COMPAT Before Prosody 0.12, "user" gives access to everybody, and "any" does not exist.
module:depends("adhoc");
module:provides("adhoc", adhoc_new("Statistics for Prometheus", node, function ()
	error("mod_adhoc called this command, but the event handler of mod_adhoc_statistics must answer it");
end, statsman.metric and "any" or "user"));
