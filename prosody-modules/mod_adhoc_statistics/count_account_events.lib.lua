-- Counts registrations, deletions of accounts, and changes of passwords.
--
-- One action of a user can fire several events of Prosody. So each action has exactly one event that is counted, and
-- events that only accompany that event are ignored:
--
-- * "user-registered" (on the host). Another module may fire it again for the same registration.
-- * "user-deleted" (global). In addition, mod_register and mod_user_account_management fire "user-deregistered".
-- * "user-password-changed" (global). If an invite resets a password, "user-password-reset" is fired too, and in some
--   versions it is the only event. Prosody 13.0 creates an account and then sets its password, which is not a change.

local usermanager = require "core.usermanager";

-- Whether the running event handler was called because an account is being created.
-- COMPAT create_user_with_role() is new in Prosody 13.0. It calls set_password(), which fires "user-password-changed".
local function is_creating_account()
	local create = usermanager.create_user_with_role;
	local level, caller = 2, create and debug.getinfo(2, "f");
	while caller do
		if caller.func == create then return true; end
		level = level + 1;
		caller = debug.getinfo(level, "f");
	end
	return false;
end

local function count_account_events(scope)
	local registrations = scope.metric("counter", "xmpp_registrations", "",
		"Number of accounts that users registered, in-band or on a web page.", { "host" });
	local deletions = scope.metric("counter", "xmpp_account_deletions", "", "Number of deleted accounts.", { "host" });
	local changes = scope.metric("counter", "xmpp_password_changes", "",
		"Number of changes of an account's password.", { "host" });
	-- The key of these tables is the host. `registered` and `changed` have the username of the last counted event.
	local known, registered, changed = {}, {}, {};

	scope.each_host(function (host, host_session, hook)
		if host_session.type ~= "local" then return; end
		known[host] = true;
		for _, family in ipairs { registrations, deletions, changes } do
			family:with_labels(host);
		end
		-- mod_register and mod_register_ibr fire this event at the beginning of each registration and each reset.
		hook("user-registering", function ()
			registered[host], changed[host] = nil, nil;
		end, scope.highest_priority);
		hook("user-registered", function (event)
			if event.username and registered[host] == event.username then return; end
			registered[host] = event.username;
			registrations:with_labels(host):add(1);
		end, scope.highest_priority);
		hook("user-password-reset", function (event)
			local is_counted = changed[host] == event.username;
			changed[host] = nil;
			if not is_counted then changes:with_labels(host):add(1); end
		end, scope.highest_priority);
	end);
	scope.hook("host-deactivated", function (host)
		known[host], registered[host], changed[host] = nil, nil, nil;
	end);

	scope.hook("user-deleted", function (event)
		local host = event.host;
		if not known[host] then return; end
		if registered[host] == event.username then registered[host] = nil; end
		deletions:with_labels(host):add(1);
	end, scope.highest_priority);
	scope.hook("user-password-changed", function (event)
		local host = event.host;
		if not known[host] or is_creating_account() then return; end
		changed[host] = event.username;
		changes:with_labels(host):add(1);
	end, scope.highest_priority);
end

return { account_events = count_account_events };
