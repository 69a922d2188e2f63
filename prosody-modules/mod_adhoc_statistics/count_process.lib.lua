-- Measures the CPU time, the memory and the file descriptors of the Prosody process. Each metric exists only if the
-- platform offers its value. On Linux, these values are in /proc/self, which a process can always read for itself, also
-- in a container and with the mount option hidepid. One update takes about 20 µs.

local lfs = require "lfs";
local throttle = module:require "throttle".throttle;
local has_pposix, pposix = pcall(require, "util.pposix");

local function read_file(path)
	local f = io.open(path);
	if not f then return ""; end
	local text = f:read("*a");
	f:close();
	return text or "";
end

-- The unit of times in /proc/self/stat is 1/100 s (USER_HZ) on every architecture for which Debian has Prosody.
local ticks_per_second = 100;
-- The second field of /proc/self/stat is the name of the program, in parentheses. It can contain any character. The
-- fields 14, 15 and 24 are utime, stime and rss (proc_pid_stat(5)).
local stat_pattern = "^.*%) %a"..(" %S+"):rep(10).." (%d+) (%d+)"..(" %S+"):rep(8).." (%d+) ";

-- Returns the CPU time of the process, in user mode and in the kernel, and its resident memory in pages. Both are read
-- from one file, because reading a file takes most of the time of an update. os.clock() is not used on Linux, because its
-- C type has 32 bits on 32-bit platforms, where it overflows after 36 minutes of CPU time. It is not used either while
-- the file can't be opened, as when all file descriptors are in use: os.clock() is up to 0.02 s ahead of the file, and a
-- counter that decreases looks like a restart.
local function read_stat()
	local utime, stime, pages = read_file("/proc/self/stat"):match(stat_pattern);
	if utime then return (utime + stime) / ticks_per_second, tonumber(pages); end
	if not lfs.attributes("/proc/self/stat", "mode") then return os.clock(); end
end

-- The size of a page of memory differs by platform. /proc/self/status has the resident memory in kB.
local page_size;
local function get_page_size(pages)
	if not page_size then
		local kilobytes = read_file("/proc/self/status"):match("\nVmRSS:%s*(%d+) kB\n");
		if not kilobytes then return nil; end
		-- The size is a power of two. The memory can change a little between two files.
		page_size = 1024;
		while page_size * 1.5 < kilobytes * 1024 / pages do page_size = page_size * 2; end
	end
	return page_size;
end

-- Returns the soft limit. If there is no limit, getrlimit() returns "unlimited".
local function read_max_fds()
	if not has_pposix or not pposix.getrlimit then return nil; end
	local ok, soft_limit = pposix.getrlimit("NOFILE");
	return ok and tonumber(soft_limit) or nil;
end

local function count_entries(directory)
	local count = 0;
	for name in lfs.dir(directory) do
		if name ~= "." and name ~= ".." then count = count + 1; end
	end
	return count;
end

local function count_process(scope)
	local metrics = {};
	-- The metric is created when its first value is known, because a new metric has the value 0.
	local function set(value, type, name, unit, description)
		if not value then return; end
		metrics[name] = metrics[name] or scope.metric(type, name, unit, description, {}):with_labels();
		metrics[name]:set(value);
	end
	local function set_open_fds(value)
		set(value, "gauge", "xmpp_process_open_fds", "", "Number of open file descriptors of the Prosody process.");
	end
	-- COMPAT Before Linux 6.2, the size of /proc/self/fd is 0, so its entries are counted. Counting 10,000 entries takes
	-- 20 ms. One of the entries belongs to the open directory itself.
	local iterate_fds = throttle(function ()
		local ok, entries = pcall(count_entries, "/proc/self/fd");
		if ok then set_open_fds(entries - 1); end
	end);

	scope.on_update(function ()
		local cpu_seconds, pages = read_stat();
		local page_bytes = pages and get_page_size(pages);
		set(cpu_seconds, "counter", "xmpp_process_cpu", "seconds",
			"CPU time of the Prosody process, in user mode and in the kernel.");
		set(page_bytes and pages * page_bytes, "gauge", "xmpp_process_resident_memory", "bytes",
			"Resident memory of the Prosody process.");
		set(read_max_fds(), "gauge", "xmpp_process_max_fds", "",
			"Maximum number of open file descriptors of the Prosody process (soft limit).");
		set(collectgarbage("count") * 1024, "gauge", "xmpp_lua_heap", "bytes",
			"Memory that Lua uses in the Prosody process, including garbage that is not collected yet.");
		local count = lfs.attributes("/proc/self/fd", "size") or 0;
		if count > 0 then set_open_fds(count); else iterate_fds(); end
	end);
end

return { process = count_process };
