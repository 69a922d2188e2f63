-- The process itself: when it started, how late its timers are, until when its certificates hold.

local certmanager = require "core.certmanager";
local configmanager = require "core.configmanager";
local parse_datetime = require "util.datetime".parse;
local resolve_path = require "util.paths".resolve_relative_path;
local time = require "util.time";
local timer = module:require "timer";
-- COMPAT new in Prosody 0.12
local now = time.monotonic or time.now;
local hosts = prosody.hosts;

-- An external component has a start time of its own.
local function count_start_time(scope)
	local family = scope.metric("gauge", "xmpp_start_time_seconds", "",
		"When the server started, in seconds since 1970", { "host" });
	local known = {};
	scope.each_host(function (host, host_session)
		known[host] = not host_session.modules.component or nil;
	end);
	scope.on_update(function ()
		if not prosody.start_time then return; end
		for host in pairs(known) do
			family:with_labels(host):set(prosody.start_time);
		end
	end);
end

local lag_interval = 1;

local function count_loop_lag(scope)
	local lag = scope.metric("histogram", "xmpp_loop_lag", "seconds",
		"How late a timer of the server was, tried each second: for as long nobody was served", {},
		{ buckets = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 } }):with_labels();
	local due;
	local task = timer.add_task(lag_interval, function ()
		local started = now();
		-- Timers of the time before the server is ready are late by what it takes to start.
		if due then lag:sample(math.max(0, started - due)); end
		due = prosody.start_time and started + lag_interval;
		return lag_interval;
	end);
	scope.on_stop(function () timer.stop(task); end);
end

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 };

-- The file with the certificate for clients of a host, as mod_tls and certmanager look for it.
local function certificate_file(host)
	local parent = host:match("%.(.*)$");
	for _, place in ipairs { { host, "c2s_ssl" }, { parent, "c2s_ssl" }, { host, "ssl" }, { parent, "ssl" }, { "*", "c2s_ssl" }, { "*", "ssl" } } do
		local ssl_options = place[1] and configmanager.rawget(place[1], place[2]);
		local file = type(ssl_options) == "table" and ssl_options.certificate;
		if type(file) == "string" then
			return resolve_path(prosody.paths.config or ".", file);
		end
	end
	local found;
	if certmanager.find_host_cert then
		found = certmanager.find_host_cert(host);
	else -- COMPAT before 0.12
		found = select(3, certmanager.create_context(host, "server"));
	end
	return found and found.certificate;
end

-- Of the first certificate in the file, which is the host's; those of its authorities follow.
local function expiry(file)
	local f = assert(io.open(file));
	local pem = f:read("*a");
	f:close();
	local text = assert(require "ssl".loadcertificate(pem)):notafter();
	-- As OpenSSL writes it: "Nov  2 21:23:35 2026 GMT"
	local month, day, clock, year = text:match("^(%a+) +(%d+) ([%d:]+) (%d+) GMT$");
	return assert(parse_datetime(("%s-%02d-%02dT%sZ"):format(year, months[month], tonumber(day), clock)));
end

-- Read when Prosody reads them itself, at the start and at a reload of its configuration: a
-- certificate that was renewed but not reloaded shows as the old one that it is.
local function count_certificates(scope)
	local family = scope.metric("gauge", "xmpp_certificate_expiry_timestamp_seconds", "",
		"When the certificate of a host, as last loaded, expires, in seconds since 1970", { "host" });
	local function read(host)
		local ok, file = pcall(certificate_file, host);
		if not ok or not file then return; end
		local ok_read, seconds = pcall(expiry, file);
		if ok_read then
			family:with_labels(host):set(seconds);
		else
			scope.log("debug", "The certificate of %s can't be read: %s", host, seconds);
		end
	end
	local known = {};
	scope.each_host(function (host)
		known[host] = true;
		read(host);
	end);
	-- After certmanager has looked for them anew.
	scope.hook("config-reloaded", function ()
		for host in pairs(known) do
			if hosts[host] then read(host); end
		end
	end, -scope.first);
end

return { start_time = count_start_time; loop_lag = count_loop_lag; certificates = count_certificates };
