-- Counts connections of clients and servers that have not authenticated, and those that ended before that.

local filters = require "util.filters";
local each_session = module:require "sessions".each_session;
local throttle = module:require "throttle".throttle;

-- Maps the type of a session that has not authenticated to the value of the label `type`.
local types = { c2s_unauthed = "c2s"; s2sin_unauthed = "s2sin"; s2sout_unauthed = "s2sout" };

-- Prosody fires no event when a client's connection ends before it authenticated. So `pending` has all connections that
-- have not authenticated, and sweep() finds those that ended. Prosody keeps the table of a session that ended, and
-- marks it as destroyed. With 10,000 such connections, sweep() takes 6 ms, and runs every 6 s.
local function count_unauthenticated(scope)
	local connections = scope.metric("gauge", "xmpp_unauthenticated_connections", "",
		"Number of connections that have not authenticated.", { "type" });
	local closed = scope.metric("counter", "xmpp_connections_closed_unauthenticated", "",
		"Number of connections that ended before they authenticated.", { "type" });
	local connection_metrics, closed_metrics = {}, {};
	for _, type in pairs(types) do
		connection_metrics[type], closed_metrics[type] = connections:with_labels(type), closed:with_labels(type);
	end
	local pending, size, max_size = {}, 0, 0;

	local function sweep()
		local counts = { c2s = 0; s2sin = 0; s2sout = 0 };
		size = 0;
		for session, type in pairs(pending) do
			if types[session.type] then
				counts[type], size = counts[type] + 1, size + 1;
			else
				pending[session] = nil;
				if session.destroyed then closed_metrics[type]:add(1); end
			end
		end
		for type, count in pairs(counts) do
			connection_metrics[type]:set(count);
		end
	end

	local function add(session)
		local type = types[session.type];
		-- COMPAT Before Prosody 0.12, the filters of an outgoing server connection are initialized twice: first without
		-- a connection, before the DNS query.
		if not type or pending[session] or not session.conn then return; end
		pending[session], size = type, size + 1;
		-- If Prosody does not collect statistics, sessions that ended must not fill the memory.
		if size > max_size then
			sweep();
			max_size = 2 * size + 1000;
		end
	end

	local function remove(session)
		if pending[session] then
			pending[session], size = nil, size - 1;
		end
	end

	scope.each_host(function (_, _, hook, wrap)
		local function on_authenticated(event) remove(event.session); end
		hook("authentication-success", on_authenticated, scope.highest_priority);
		-- mod_legacyauth fires no other event.
		hook("resource-bind", on_authenticated, scope.highest_priority);
		-- A handler of this event in mod_s2s decides whether the server is authenticated, and stops the event. So only a
		-- wrapper can see the result.
		wrap("s2s-authenticated", function (fire, name, event)
			local result = fire(name, event);
			if not types[event.session.type] and not event.session.destroyed then remove(event.session); end
			return result;
		end);
	end);
	filters.add_filter_hook(add);
	each_session(add);
	scope.on_stop(function ()
		filters.remove_filter_hook(add);
		sweep();
	end);
	scope.on_update(throttle(sweep));
end

return { unauthenticated = count_unauthenticated };
