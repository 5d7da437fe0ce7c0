// Numbers and times as drivers write them; the same rules as app/web/words.py.

const NOTHING = "–";

/** 92.417 → "1:32.417" */
export function lapTime(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return NOTHING;
  const all = Math.round(Math.abs(seconds) * 1000);
  const minutes = Math.floor(all / 60000);
  const rest = ((all % 60000) / 1000).toFixed(3);
  const sign = seconds < 0 && all > 0 ? "−" : "";
  return minutes ? `${sign}${minutes}:${rest.padStart(6, "0")}` : `${sign}${rest}`;
}

/** 0.2134 → "+0.213" */
export function gap(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return NOTHING;
  const thousandths = Math.round(seconds * 1000);
  return `${thousandths > 0 ? "+" : ""}${lapTime(thousandths / 1000)}`;
}

/** 4718592 → "4.5 MiB" */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

/** 0.8734 → "87 %" */
export function percent(share) {
  return share === null || share === undefined ? NOTHING : `${Math.round(share * 100)} %`;
}

/** An ISO time as the reader's clock shows it. */
export function moment(iso) {
  const at = new Date(iso);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
