module;
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <format>
#include <iterator>
#include <map>
#include <memory_resource>
#include <optional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "live_blocks.h"
#include "text.h"
module buffers.usage;

namespace buffers {

namespace {

using detail::byte_units;
using detail::bytes_text;
using detail::grouped;
using detail::time_text;
using detail::time_units;
using detail::unit;
using detail::unit_of;

// --- text ------------------------------------------------------------------------------------------------------------

std::string escaped_for_xml(std::string_view text) {
  std::string escaped;
  for (const char c : text) switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      default:
        escaped += c;
    }
  return escaped;
}
std::string escaped_for_json(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// --- groups: what has a colour ---------------------------------------------------------------------------------------

constexpr std::size_t most_groups = 8;
using by_group = std::array<std::uint64_t, most_groups>;

constexpr std::uint64_t size_limits[] = {64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20, UINT64_MAX};
constexpr const char* size_names[] = {"up to 64 B",   "up to 256 B", "up to 1 KiB", "up to 4 KiB",
                                      "up to 64 KiB", "up to 1 MiB", "above 1 MiB"};
constexpr const char* size_colours[] = {"#4a6fb0", "#3f94b5", "#3fae97", "#86bb63", "#d3b84a", "#e5934a", "#d65c55"};
constexpr const char* thread_colours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759",
                                          "#76b7b2", "#b07aa1", "#d3b84a", "#9aa0a6"};

struct group {
  std::string name;
  const char* colour;
};

/// What there is to say of the whole trace before it is drawn.
struct overview {
  explicit overview(file_path trace, const picture_options& options);
  std::size_t group_of(std::uint64_t bytes, std::uint32_t thread) const {
    if (by_thread) {
      const auto known = group_of_thread.find(thread);
      return known == group_of_thread.end() ? groups.size() - 1 : known->second;
    }
    return static_cast<std::size_t>(std::ranges::lower_bound(size_limits, bytes) - std::begin(size_limits));
  }

  std::string title;
  std::uint64_t events = 0, end = 0;  // nanoseconds
  std::uint64_t peak_bytes = 0, peak_blocks = 0, peak_event = 0, peak_time = 0;
  std::size_t threads = 0;
  std::vector<group> groups;
  bool by_thread;
  std::unordered_map<std::uint32_t, std::size_t> group_of_thread;
  std::optional<trace_error> damage;
};

/// A live block of a trace.
struct drawn_block {
  std::uint64_t bytes, began, number;
  std::uint32_t thread;
  std::uint8_t group;
};

/// Follows a trace that has been looked at.
class tracker {
 public:
  explicit tracker(file_path trace) : reader_(trace) {}

  /// Calls at(time, event), after came(block) and went(block, time), for each of the first `events` events.
  void follow(const overview& all, std::uint64_t events, auto came, auto went, auto at) {
    for (trace_event e; events != 0 && reader_.next(e); --events) {
      time_ = std::max(time_, e.nanoseconds);
      live_.follow(
          e,
          [&](const trace_event& of) {
            const std::uint64_t bytes = std::min(of.bytes, detail::largest_block_followed);
            const drawn_block made{bytes, time_, of.number, of.thread,
                                   static_cast<std::uint8_t>(all.group_of(bytes, of.thread))};
            came(made);
            return made;
          },
          [&](const drawn_block& gone) { went(gone, time_); });
      at(time_, e);
    }
  }
  void for_each_live(auto f) const { live_.for_each(f); }

 private:
  trace_reader reader_;
  detail::live_blocks<drawn_block> live_{std::pmr::new_delete_resource()};
  std::uint64_t time_ = 0;
};

overview::overview(file_path trace, const picture_options& options)
    : title(detail::shown_text(options.title)), by_thread(options.colour == picture_colour::thread) {
  trace_reader reader(trace);
  if (title.empty()) title = detail::command_text(reader.command(), 80);
  detail::live_blocks<std::uint64_t> live{std::pmr::new_delete_resource()};
  std::map<std::uint32_t, std::uint64_t> bytes_of_thread;
  std::uint64_t bytes = 0, blocks = 0;
  const auto come = [&](const trace_event& of) {
    const std::uint64_t more = std::min(of.bytes, detail::largest_block_followed);
    bytes += more;
    ++blocks;
    bytes_of_thread[of.thread] += more;
    return more;
  };
  const auto go = [&](std::uint64_t of) {
    bytes -= of;
    --blocks;
  };
  try {
    for (trace_event e; reader.next(e); ++events) {
      bytes_of_thread.try_emplace(e.thread);
      live.follow(e, come, go);
      end = std::max(end, e.nanoseconds);
      if (bytes > peak_bytes) {
        peak_bytes = bytes;
        peak_blocks = blocks;
        peak_event = e.number;
        peak_time = end;
      }
    }
  } catch (const trace_error& error) {
    damage = error;
  }
  threads = bytes_of_thread.size();
  if (!by_thread) {
    for (std::size_t i = 0; i < std::size(size_names); ++i) groups.push_back({size_names[i], size_colours[i]});
    return;
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;  // who allocates most has a colour
  order.reserve(bytes_of_thread.size());
  for (const auto& [thread, total] : bytes_of_thread) order.emplace_back(total, thread);
  std::ranges::sort(order, std::greater<>());
  if (order.size() > most_groups) order.resize(most_groups - 1);
  std::ranges::sort(order, {}, [](const auto& o) { return o.second; });
  for (const auto& [total, thread] : order) {
    group_of_thread.emplace(thread, groups.size());
    groups.push_back({"thread " + std::to_string(thread), thread_colours[groups.size()]});
  }
  if (bytes_of_thread.size() > order.size()) groups.push_back({"other threads", thread_colours[most_groups - 1]});
}

std::string subtitle_of(const overview& all) {
  return grouped(all.events) + " events of " + grouped(all.threads) + (all.threads == 1 ? " thread" : " threads") +
         " in " + time_text(all.end) + "; at most " + bytes_text(all.peak_bytes) + " live, in " +
         grouped(all.peak_blocks) + (all.peak_blocks == 1 ? " block" : " blocks");
}

// --- the timeline ----------------------------------------------------------------------------------------------------

/// The live bytes of each group at the moments at which most is live, one in each of equal parts of the time.
struct moments {
  moments(file_path trace, const overview& all, std::size_t count) : at(count) {
    const double per_nanosecond = static_cast<double>(count) / (static_cast<double>(all.end) + 1);
    by_group now{}, last{};
    std::uint64_t total = 0, best = 0;
    std::size_t part = 0;
    tracker follows(trace);
    follows.follow(
        all, all.events,
        [&](const drawn_block& b) {
          now[b.group] += b.bytes;
          total += b.bytes;
        },
        [&](const drawn_block& b, std::uint64_t) {
          now[b.group] -= b.bytes;
          total -= b.bytes;
        },
        [&](std::uint64_t time, const trace_event&) {
          const auto here = static_cast<std::size_t>(static_cast<double>(time) * per_nanosecond);
          while (part < std::min(here, count - 1)) {
            at[++part] = last;
            best = sum(last);
          }
          if (total >= best) {
            best = total;
            at[part] = now;
          }
          last = now;
        });
    while (++part < count) at[part] = last;
  }
  static std::uint64_t sum(const by_group& of) {
    std::uint64_t total = 0;
    for (const std::uint64_t bytes : of) total += bytes;
    return total;
  }

  std::vector<by_group> at;
};

void draw_timeline_text(std::ostream& os, file_path trace, const overview& all) {
  constexpr std::size_t columns = 72, rows = 12;
  const char* const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const moments parts(trace, all, columns);
  const double most = std::max(1.0, static_cast<double>(all.peak_bytes));
  os << all.title << '\n' << subtitle_of(all) << "\n\n";
  for (std::size_t row = rows; row-- != 0;) {
    const bool has_label = row == rows - 1 || (row == rows / 2 - 1 && most > 1);
    os << std::format("{:>10} │", has_label ? bytes_text(static_cast<std::uint64_t>(
                                                  most * static_cast<double>(row + 1) / static_cast<double>(rows)))

                                            : "");
    std::string line;
    for (const by_group& part : parts.at) {
      const double height = static_cast<double>(moments::sum(part)) / most * static_cast<double>(rows * 8);
      line += eighths[static_cast<std::size_t>(std::clamp(std::ceil(height) - static_cast<double>(8 * row), 0.0, 8.0))];
    }
    while (line.ends_with(' ')) line.pop_back();
    os << line << '\n';
  }
  os << std::format("{:>10} └", "0 B");
  for (std::size_t i = 0; i < columns; ++i) os << "─";
  os << std::format("\n{:>12}{:{}}{}\n", "0", "", columns - 7, time_text(all.end));
}

// --- SVG -------------------------------------------------------------------------------------------------------------

constexpr const char* ink = "#7d858f";  // to be read on white and on black

void begin_svg(std::ostream& os, const overview& all, double width, double height, const std::string& subtitle) {
  os << std::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:g} {:g}\" width=\"{:g}\" height=\"{:g}\" "
            "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\" font-size=\"12\" "
            "fill=\"{}\">\n",
            width, height, width, height, ink)
     << "<title>" << escaped_for_xml(all.title) << "</title>\n"
     << "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\">" << escaped_for_xml(all.title) << "</text>\n"
     << "<text x=\"16\" y=\"46\">" << escaped_for_xml(subtitle) << "</text>\n";
}

void draw_legend(std::ostream& os, const std::vector<group>& groups, const by_group& present, double x, double y) {
  for (std::size_t i = groups.size(); i-- != 0;) {  // as they are stacked
    if (present[i] == 0) continue;
    os << std::format("<rect x=\"{:g}\" y=\"{:g}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/>", x, y,
                      groups[i].colour)
       << std::format("<text x=\"{:g}\" y=\"{:g}\">{}</text>\n", x + 18, y + 10, groups[i].name);
    y += 20;
  }
}

/// The distance of about `count` marks, in 1, 2 or 5 times a power of ten.
double mark_distance(double most, double count) {
  const double rough = most / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

void draw_timeline_svg(std::ostream& os, file_path trace, const overview& all) {
  constexpr double width = 960, height = 400, left = 84, right = 800, top = 70, bottom = 340;
  constexpr std::size_t columns = 480;
  const moments parts(trace, all, columns);
  const unit& size_unit = unit_of(byte_units, static_cast<double>(all.peak_bytes));
  const unit& time_unit = unit_of(time_units, static_cast<double>(all.end));
  const double peak = std::max(1.0, static_cast<double>(all.peak_bytes) / size_unit.size);
  const double size_marks = mark_distance(peak, 5);
  const double most = std::ceil(peak / size_marks) * size_marks;
  const double end = std::max(1.0, static_cast<double>(all.end) / time_unit.size);
  const auto x_of = [&](double time) { return left + (right - left) * time / end; };
  const auto y_of = [&](double size) { return bottom - (bottom - top) * size / most; };

  begin_svg(os, all, width, height, subtitle_of(all));
  for (int i = 0; size_marks * i <= most * 1.0001; ++i) {
    const double y = y_of(size_marks * i);
    os << std::format("<path d=\"M{:g} {:.1f}H{:g}\" stroke=\"{}\" stroke-opacity=\"{}\"/>", left, y, right, ink,
                      i == 0 ? "1" : ".28")
       << std::format("<text x=\"{:g}\" y=\"{:.1f}\" text-anchor=\"end\">{:g} {}</text>\n", left - 8, y + 4,
                      size_marks * i, size_unit.name);
  }
  const double time_marks = mark_distance(end, 8);
  for (int i = 0; time_marks * i <= end * 1.0001; ++i) {
    const double x = x_of(time_marks * i);
    os << std::format("<path d=\"M{:.1f} {:g}v5\" stroke=\"{}\"/>", x, bottom, ink)
       << std::format("<text x=\"{:.1f}\" y=\"{:g}\" text-anchor=\"middle\">{:g}</text>\n", x, bottom + 20,
                      time_marks * i);
  }
  os << std::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"middle\">time in {}</text>\n", (left + right) / 2,
                    bottom + 42, time_unit.name);

  by_group present{};
  std::vector<double> below(columns, 0);
  const auto x_of_column = [&](std::size_t i) {
    return left + (right - left) * static_cast<double>(i) / static_cast<double>(columns - 1);
  };
  for (std::size_t g = 0; g < all.groups.size(); ++g) {
    std::vector<double> above = below;
    for (std::size_t i = 0; i < columns; ++i) {
      above[i] += static_cast<double>(parts.at[i][g]) / size_unit.size;
      present[g] += parts.at[i][g];
    }
    if (present[g] == 0) continue;
    os << std::format("<path fill=\"{}\" d=\"M", all.groups[g].colour);
    for (std::size_t i = 0; i < columns; ++i) os << std::format("{:.1f} {:.1f} ", x_of_column(i), y_of(above[i]));
    for (std::size_t i = columns; i-- != 0;) os << std::format("{:.1f} {:.1f} ", x_of_column(i), y_of(below[i]));
    os << "z\"/>\n";
    below = std::move(above);
  }
  const double at = x_of(static_cast<double>(all.peak_time) / time_unit.size);
  const bool to_the_left = at > (left + right) / 2;
  os << std::format("<path d=\"M{:.1f} {:g}V{:g}\" stroke=\"{}\" stroke-dasharray=\"3 3\"/>", at, top - 8, bottom, ink)
     << std::format("<text x=\"{:.1f}\" y=\"{:g}\" text-anchor=\"{}\">peak {}</text>\n", at + (to_the_left ? -6 : 6),
                    top - 1, to_the_left ? "end" : "start", bytes_text(all.peak_bytes));
  os << std::format("<text x=\"{:g}\" y=\"{:g}\" font-weight=\"600\">live bytes, by {}</text>\n", right + 24, top + 10,
                    all.by_thread ? "thread" : "size");
  draw_legend(os, all.groups, present, right + 24, top + 24);
  os << "</svg>\n";
}

// --- the map ---------------------------------------------------------------------------------------------------------

/// The address space around the live blocks, cut into cells of equal size.
class map_of_cells {
 public:
  struct cell {
    by_group bytes{};
    std::uint64_t total() const { return moments::sum(bytes); }
  };
  struct row {
    std::uint64_t address;
    std::size_t first;  // of its cells
  };

  map_of_cells(file_path trace, const overview& all, std::size_t cells_of_row, std::size_t most_rows) {
    constexpr std::uint64_t most = std::uint64_t{1} << 62;  // no process has addresses beyond
    std::vector<block> blocks;
    tracker follows(trace);
    const auto nothing = [](const auto&...) {};
    follows.follow(all, all.events == 0 ? 0 : all.peak_event + 1, nothing, nothing, nothing);
    follows.for_each_live([&](std::uint64_t address, const drawn_block& b) {
      if (b.bytes != 0 && b.bytes < most && address < most - b.bytes) blocks.push_back({address, b.bytes, b.group});
    });
    std::ranges::sort(blocks, {}, &block::address);
    for (cell_bytes = 16; !lay_out(blocks, cells_of_row, most_rows); cell_bytes *= 2) {
    }
    count = blocks.size();
  }

  std::uint64_t cell_bytes;
  std::uint64_t bytes = 0, count = 0;
  std::vector<cell> cells;
  std::vector<row> rows;

 private:
  struct block {
    std::uint64_t address, bytes;
    std::uint8_t group;
  };

  // The row that an address lies in, among those there are. Where the blocks of an arena that nobody gave back overlap,
  // it need not be the last: a longer block that begins before this one has made the others.
  [[nodiscard]] const row& row_of(std::uint64_t address) const {
    return *std::prev(std::ranges::upper_bound(rows, address, {}, &row::address));
  }

  /// A gap of more than a row is left out.
  bool lay_out(const std::vector<block>& blocks, std::size_t cells_of_row, std::size_t most_rows) {
    cells.clear();
    rows.clear();
    bytes = 0;
    const std::uint64_t row_bytes = cell_bytes * cells_of_row;
    std::uint64_t end = 0;  // of the last row, in addresses
    for (const block& b : blocks) {
      const std::uint64_t last = b.address + b.bytes;
      const std::uint64_t length = last - b.address;
      if (length / row_bytes > most_rows) return false;
      bytes += length;
      for (std::uint64_t at = b.address; at < last;) {
        if (rows.empty() || at >= end) {
          if (rows.size() == most_rows) return false;
          const std::uint64_t begin = at / row_bytes * row_bytes;
          end = begin + row_bytes;
          if (end < begin) return false;
          rows.push_back({begin, cells.size()});
          cells.resize(cells.size() + cells_of_row);
        }
        const std::uint64_t cell_end = std::min(last, (at / cell_bytes + 1) * cell_bytes);
        const row& in = row_of(at);
        cells[in.first + (at - in.address) / cell_bytes].bytes[b.group] += cell_end - at;
        at = cell_end;
      }
    }
    return true;
  }
};

std::string map_subtitle(const overview& all, const map_of_cells& map) {
  return "Where the blocks lie at the peak, after " + time_text(all.peak_time) + ": " + bytes_text(map.bytes) + " in " +
         grouped(map.count) + (map.count == 1 ? " block" : " blocks") + "; a cell is " + bytes_text(map.cell_bytes);
}

void draw_map_text(std::ostream& os, file_path trace, const overview& all) {
  constexpr std::size_t cells_of_row = 64, most_rows = 40;
  const map_of_cells map(trace, all, cells_of_row, most_rows);
  const char* const fills[] = {"·", "░", "▒", "▓", "█"};
  os << all.title << '\n' << map_subtitle(all, map) << "\n\n";
  std::uint64_t next = 0;
  for (const map_of_cells::row& row : map.rows) {
    if (next != 0 && row.address != next) os << "                ⋮\n";
    os << std::format("{:14x}  ", row.address);
    for (std::size_t i = row.first; i != row.first + cells_of_row; ++i) {
      const std::uint64_t total = std::min(map.cells[i].total(), map.cell_bytes);
      os << fills[total == 0 ? 0 : 1 + 3 * total / map.cell_bytes];
    }
    os << '\n';
    next = row.address + cells_of_row * map.cell_bytes;
  }
}

void draw_map_svg(std::ostream& os, file_path trace, const overview& all) {
  constexpr std::size_t cells_of_row = 128, most_rows = 48;
  constexpr double cell = 5.5, row_height = 9, left = 124, top = 70, width = 1000, right = left + cells_of_row * cell;
  const map_of_cells map(trace, all, cells_of_row, most_rows);
  std::size_t gaps = 0;
  for (std::size_t r = 1; r < map.rows.size(); ++r)
    gaps += map.rows[r].address != map.rows[r - 1].address + cells_of_row * map.cell_bytes ? 1 : 0;
  const double height =
      std::max(top + row_height * static_cast<double>(map.rows.size()) + 6 * static_cast<double>(gaps) + 36, 270.0);
  begin_svg(os, all, width, height, map_subtitle(all, map));
  by_group present{};
  double y = top;
  std::uint64_t next = 0;
  std::size_t since_label = 0;
  for (const map_of_cells::row& row : map.rows) {
    const bool is_apart = row.address != next;
    if (is_apart && next != 0) y += 6;
    if (is_apart || since_label == 4) {
      if (!is_apart || since_label >= 2 || next == 0 || since_label == 0)
        os << std::format(
            "<text x=\"{:g}\" y=\"{:g}\" font-size=\"10\" font-family=\"ui-monospace, 'DejaVu Sans Mono', "
            "monospace\" text-anchor=\"end\">{:x}</text>\n",
            left - 8, y + 7.5, row.address);
      since_label = 0;
    }
    ++since_label;
    os << std::format("<path d=\"M{:g} {:g}H{:g}\" stroke=\"{}\" stroke-opacity=\".18\" stroke-width=\"8\"/>\n", left,
                      y + 4, right, ink);
    for (std::size_t i = 0; i < cells_of_row;) {
      const auto look = [&](std::size_t of) {  // a colour, and how full: in quarters
        const map_of_cells::cell& c = map.cells[row.first + of];
        const auto most = static_cast<std::size_t>(std::ranges::max_element(c.bytes) - c.bytes.begin());
        const std::uint64_t total = std::min(c.total(), map.cell_bytes);
        return std::pair(most, total == 0 ? 0 : std::max<std::uint64_t>(1, 4 * total / map.cell_bytes));
      };
      const auto seen = look(i);
      std::size_t run = 1;
      while (i + run < cells_of_row && look(i + run) == seen) ++run;
      if (seen.second != 0) {
        os << std::format("<path d=\"M{:g} {:g}h{:g}\" stroke=\"{}\" stroke-width=\"8\"",
                          left + cell * static_cast<double>(i), y + 4, cell * static_cast<double>(run),
                          all.groups[seen.first].colour);
        if (seen.second != 4)
          os << std::format(" stroke-opacity=\"{:g}\"", .25 + .1875 * static_cast<double>(seen.second));
        os << "/>\n";
        present[seen.first] = 1;
      }
      i += run;
    }
    y += row_height;
    next = row.address + cells_of_row * map.cell_bytes;
  }
  os << std::format("<text x=\"{:g}\" y=\"{:g}\">address, {} a row</text>\n", left, y + 20,
                    bytes_text(map.cell_bytes * cells_of_row));
  os << std::format("<text x=\"{:g}\" y=\"{:g}\" font-weight=\"600\">blocks, by {}</text>\n", right + 24, top + 10,
                    all.by_thread ? "thread" : "size");
  draw_legend(os, all.groups, present, right + 24, top + 24);
  double legend_end = top + 24;
  for (const std::uint64_t is : present) legend_end += is != 0 ? 20 : 0;
  os << std::format(
            "<rect x=\"{:g}\" y=\"{:g}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\" fill-opacity=\".18\"/>",
            right + 24, legend_end, ink)
     << std::format("<text x=\"{:g}\" y=\"{:g}\">no block</text>\n", right + 42, legend_end + 10) << "</svg>\n";
}

// --- Chrome's and Perfetto's trace events ----------------------------------------------------------------------------

void draw_json(std::ostream& os, file_path trace, const overview& all) {
  constexpr std::size_t most_slices = 5000;
  struct slice {
    drawn_block block;
    std::uint64_t end;
    double weight() const { return static_cast<double>(block.bytes) * static_cast<double>(end - block.began + 1); }
  };
  const auto heavier = [](const slice& a, const slice& b) { return a.weight() > b.weight(); };
  std::vector<slice> slices;  // a heap, the lightest on top
  const auto add = [&](const slice& s) {
    if (slices.size() == most_slices) {
      if (s.weight() <= slices.front().weight()) return;
      std::ranges::pop_heap(slices, heavier);
      slices.pop_back();
    }
    slices.push_back(s);
    std::ranges::push_heap(slices, heavier);
  };
  std::set<std::uint32_t> threads;
  tracker follows(trace);
  follows.follow(
      all, all.events, [](const drawn_block&) {}, [&](const drawn_block& b, std::uint64_t time) { add({b, time}); },
      [&](std::uint64_t, const trace_event& e) { threads.insert(e.thread); });
  follows.for_each_live([&](std::uint64_t, const drawn_block& b) { add({b, all.end}); });
  std::ranges::sort(slices, {}, [](const slice& s) { return s.block.number; });

  const auto microseconds = [](double nanoseconds) { return nanoseconds / 1e3; };
  os << "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"
     << "{\"ph\": \"M\", \"pid\": 1, \"name\": \"process_name\", \"args\": {\"name\": \"" << escaped_for_json(all.title)
     << "\"}}";
  for (const std::uint32_t thread : threads)
    os << std::format(
        ",\n{{\"ph\": \"M\", \"pid\": 1, \"tid\": {}, \"name\": \"thread_name\", \"args\": {{\"name\": \"thread "
        "{}\"}}}}",
        thread, thread);
  constexpr std::size_t columns = 2000;
  const moments parts(trace, all, columns);
  for (std::size_t i = 0; i < columns; ++i) {
    if (i != 0 && i + 1 != columns && parts.at[i] == parts.at[i - 1]) continue;
    os << std::format(
        ",\n{{\"ph\": \"C\", \"pid\": 1, \"name\": \"live bytes\", \"ts\": {:.3f}, \"args\": {{",
        microseconds(static_cast<double>(all.end) * static_cast<double>(i) / static_cast<double>(columns - 1)));
    for (std::size_t g = 0; g < all.groups.size(); ++g)
      os << std::format("{}\"{}\": {}", g == 0 ? "" : ", ", all.groups[g].name, parts.at[i][g]);
    os << "}}";
  }
  for (const slice& s : slices) {
    const auto number = static_cast<unsigned long long>(s.block.number);
    os << std::format(
              ",\n{{\"ph\": \"b\", \"cat\": \"block\", \"id\": {}, \"pid\": 1, \"tid\": {}, \"name\": \"{}\", \"ts\": "
              "{:.3f}, "
              "\"args\": {{\"bytes\": {}, \"event\": {}}}}}",
              number, s.block.thread, bytes_text(s.block.bytes), microseconds(static_cast<double>(s.block.began)),
              s.block.bytes, number)
       << std::format(
              ",\n{{\"ph\": \"e\", \"cat\": \"block\", \"id\": {}, \"pid\": 1, \"tid\": {}, \"name\": \"{}\", \"ts\": "
              "{:.3f}}}",
              number, s.block.thread, bytes_text(s.block.bytes), microseconds(static_cast<double>(s.end)));
  }
  os << "\n]}\n";
}

}  // namespace

std::optional<trace_error> draw_trace(std::ostream& os, file_path trace, const picture_options& options) {
  const overview drawn(trace, options);
  const bool is_map = options.kind == picture_kind::map;
  switch (options.format) {
    case picture_format::text:
      (is_map ? draw_map_text : draw_timeline_text)(os, trace, drawn);
      break;
    case picture_format::svg:
      (is_map ? draw_map_svg : draw_timeline_svg)(os, trace, drawn);
      break;
    case picture_format::json:
      draw_json(os, trace, drawn);
      break;
  }
  return drawn.damage;
}

}  // namespace buffers
