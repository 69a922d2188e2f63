-- Counts the messages that mod_offline stores for users who are not online.

-- mod_offline handles the event with this priority, and returns whether it stored the message.
local mod_offline_priority = -1;

-- The result of the event does not show whether mod_offline stored the message. Modules with a higher priority may
-- discard the message and return true. mod_mam does the same with priority -2 if the message is in the archive. So one
-- handler runs immediately before that of mod_offline, and one after it, unless mod_offline stored the message. The
-- handlers return nothing, so they do not change what happens to the message.
local function count_offline_messages(scope)
	local family = scope.metric("counter", "xmpp_offline_messages_stored", "",
		"Number of messages stored for users who were not online.", { "host" });

	scope.each_host(function (host, host_session, hook, wrap)
		if host_session.type ~= "local" then return; end
		local metric = family:with_labels(host);
		-- The events whose result is that of mod_offline. mod_offline may wait for its storage, so there may be several.
		local is_at_mod_offline = setmetatable({}, { __mode = "k" });
		hook("message/offline/handle", function (event)
			is_at_mod_offline[event] = true;
		end, mod_offline_priority + 0.001);
		hook("message/offline/handle", function (event)
			is_at_mod_offline[event] = nil;
		end, mod_offline_priority - 0.001);
		wrap("message/offline/handle", function (fire, name, event)
			local result = fire(name, event);
			if result and is_at_mod_offline[event] then metric:add(1); end
			return result;
		end);
	end);
end

return { offline_messages = count_offline_messages };
