// Dates are shown in the newcomer's own time zone from the first page on. Without JavaScript: UTC, see "account".
"use strict";

document.getElementById("id_time_zone").value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
