module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>
module buffers.usage;

namespace buffers::detail {

namespace {

constexpr std::size_t none = SIZE_MAX;
constexpr std::size_t longest_round = 1024;  // of a loop, in calls

enum class call {
  allocate,
  view,
  reshape,
  deallocate,
  drop,
  resize,
  checkpoint,
  restore,
  open,
  close,
  reset,
  reset_peak
};

struct reference {
  std::size_t made;  // by the event of that number
  std::size_t bytes;
};

struct event {
  call what;
  std::size_t buffer;
  std::size_t bytes = 0, old_bytes = 0, alignment = 0;  // bytes: of a reshape, the elements before it
  element_type type = {};
  std::vector<std::size_t> dims = {};
  std::vector<reference> about = {};  // blocks, a checkpoint or a scope
};

std::string text(std::size_t number) { return std::to_string(number); }

}  // namespace

struct call_log::state {
  std::vector<event> events;
  std::vector<std::unordered_map<const void*, std::size_t>> at;  // by address, for each buffer

  explicit state(std::size_t buffers) : at(buffers) {}
  // The event that made the block there; none for one from before.
  std::size_t made(std::size_t buffer, const void* block) const {
    const auto found = at[buffer].find(block);
    return found != at[buffer].end() ? found->second : none;
  }
  void made_block(const void* block, event e) {
    if (e.bytes != 0) at[e.buffer][block] = events.size();
    events.push_back(std::move(e));
  }
};

call_log::call_log(std::size_t buffers) : state_(new state(buffers)) {}
call_log::~call_log() { delete state_; }

void call_log::allocated(std::size_t buffer, const void* at, std::size_t bytes, std::size_t alignment) {
  state_->made_block(at, {.what = call::allocate, .buffer = buffer, .bytes = bytes, .alignment = alignment});
}

void call_log::allocated_view(std::size_t buffer, const void* at, const element_type& type, std::size_t alignment,
                              std::span<const std::size_t> dims) {
  std::size_t bytes = type.bytes;
  for (std::size_t d : dims) bytes *= d;  // that there are as many is known by now
  state_->made_block(at, {.what = call::view,
                          .buffer = buffer,
                          .bytes = bytes,
                          .alignment = alignment,
                          .type = type,
                          .dims = {dims.begin(), dims.end()}});
}

void call_log::reshaped(std::size_t buffer, const element_type& type, std::size_t offset,
                        std::span<const std::size_t> dims) {
  state_->events.push_back(
      {.what = call::reshape, .buffer = buffer, .bytes = offset, .type = type, .dims = {dims.begin(), dims.end()}});
}

void call_log::deallocated(std::size_t buffer, const void* at, std::size_t bytes) {
  const std::size_t made = state_->made(buffer, at);
  if (at == nullptr || bytes == 0 || made == none) return;
  state_->events.push_back({.what = call::deallocate, .buffer = buffer, .about = {{made, bytes}}});
}

void call_log::dropped(std::size_t buffer, std::span<const std::span<const std::byte>> blocks) {
  event e{.what = call::drop, .buffer = buffer};
  for (std::span<const std::byte> block : blocks) {
    const std::size_t made = state_->made(buffer, block.data());
    if (!block.empty() && made != none) e.about.push_back({made, block.size()});
  }
  if (!e.about.empty()) state_->events.push_back(std::move(e));
}

void call_log::resized(std::size_t buffer, const void* at, std::size_t old_bytes, std::size_t new_bytes) {
  const std::size_t made = state_->made(buffer, at);
  if (made == none) return;
  state_->events.push_back(
      {.what = call::resize, .buffer = buffer, .old_bytes = old_bytes, .about = {{made, new_bytes}}});
}

std::size_t call_log::checkpoint(std::size_t buffer) {
  state_->events.push_back({.what = call::checkpoint, .buffer = buffer});
  return state_->events.size() - 1;
}
void call_log::restored(std::size_t buffer, std::size_t checkpoint) {
  state_->events.push_back({.what = call::restore, .buffer = buffer, .about = {{checkpoint, 0}}});
}
std::size_t call_log::opened(std::size_t buffer) {
  state_->events.push_back({.what = call::open, .buffer = buffer});
  return state_->events.size() - 1;
}
void call_log::closed(std::size_t buffer, std::size_t scope) {
  state_->events.push_back({.what = call::close, .buffer = buffer, .about = {{scope, 0}}});
}
void call_log::reset(std::size_t buffer) { state_->events.push_back({.what = call::reset, .buffer = buffer}); }
void call_log::reset_peak(std::size_t buffer) {
  state_->events.push_back({.what = call::reset_peak, .buffer = buffer});
}

namespace {

std::string name_of(std::size_t number, std::size_t buffers) {
  return buffers == 1 ? "buffer" : "buffer" + text(number + 1);
}

// The calls as a dry_run for each buffer takes them. It may refuse some, as it is one piece of memory and a buffer need
// not be: a call that takes memory counts as a block of its own then, and one that gives memory back is left out.
class rehearsal {
 public:
  rehearsal(const std::vector<event>& events, std::size_t buffers) : made_now_(events.size()) {
    for (std::size_t i = 0; i < buffers; ++i) dry_.emplace_back();
    for (std::size_t i = 0; i < events.size(); ++i) {
      event e = events[i];
      for (reference& r : e.about) r.made = made_now_[r.made];
      made_now_[i] = taken_.size();
      if (e.what == call::resize)
        resize(events[i].about[0].made, std::move(e));
      else
        take(std::move(e));
    }
  }

  const std::vector<event>& taken() const { return taken_; }
  // What each buffer needs.
  std::vector<std::size_t> needed() const {
    std::vector<std::size_t> bytes;
    bytes.reserve(dry_.size());
    for (const dry_run& buffer : dry_) bytes.push_back(buffer.peak());
    return bytes;
  }

 private:
  void take(event e) {
    dry_run& buffer = dry_[e.buffer];
    const std::size_t number = taken_.size();
    switch (e.what) {
      case call::allocate:
      case call::view:
        blocks_[number] = buffer.allocate(e.bytes, e.alignment);
        break;
      case call::reshape:
        if (!is_taken([&] { static_cast<void>(reshape_buffer<std::byte>(buffer, bytes_reshaped(e))); }))
          return take({.what = call::allocate,
                       .buffer = e.buffer,
                       .bytes = bytes_reshaped(e),
                       .alignment = bump_resource::base_alignment});
        break;
      case call::deallocate:
        buffer.deallocate(blocks_[e.about[0].made], e.about[0].bytes);
        break;
      case call::drop:
        std::erase_if(e.about,
                      [&](const reference& r) { return !is_taken([&] { buffer.drop(blocks_[r.made], r.bytes); }); });
        if (e.about.empty()) return;
        break;
      case call::resize:  // in resize()
        break;
      case call::checkpoint:
        moments_[number] = buffer.checkpoint();
        break;
      case call::restore:
        if (!is_taken([&] { buffer.restore(moments_[e.about[0].made]); })) return;
        break;
      case call::open:
        buffer.open_scope(scopes_[number]);
        break;
      case call::close:
        buffer.close_scope(scopes_[e.about[0].made]);
        break;
      case call::reset:
        if (!is_taken([&] { buffer.reset(); })) return;
        break;
      case call::reset_peak:
        buffer.reset_peak();
        break;
    }
    taken_.push_back(std::move(e));
  }

  // `made`: by the event of that number, as it was before.
  void resize(std::size_t made, event e) {
    const reference to = e.about[0];
    void* const block = blocks_[to.made];
    if (to.bytes <= e.old_bytes) {
      dry_[e.buffer].shrink(block, e.old_bytes, to.bytes);
    } else if (!dry_[e.buffer].try_expand(block, e.old_bytes, to.bytes)) {
      made_now_[made] = taken_.size();
      return take(
          {.what = call::allocate, .buffer = e.buffer, .bytes = to.bytes, .alignment = taken_[to.made].alignment});
    }
    taken_.push_back(std::move(e));
  }

  static std::size_t bytes_reshaped(const event& e) {
    std::size_t bytes = e.type.bytes;
    for (std::size_t d : e.dims) bytes *= d;
    return e.bytes * e.type.bytes + bytes;
  }
  template <class Call>
  static bool is_taken(Call call) {
    try {
      call();
    } catch (const std::logic_error&) {  // order_error, or invalid_argument
      return false;
    }
    return true;
  }

  std::vector<event> taken_;
  std::vector<std::size_t> made_now_;  // the number in taken_, by that in the events
  std::deque<dry_run> dry_;
  std::unordered_map<std::size_t, void*> blocks_;  // by the number in taken_, as all that follow
  std::unordered_map<std::size_t, dry_run::checkpoint_type> moments_;
  std::unordered_map<std::size_t, dry_run::scope_mark> scopes_;
};

// Writes the calls as a program.
class writer {
 public:
  writer(const std::vector<event>& events, std::size_t buffers)
      : events_(events), buffers_(buffers), last_use_(events.size(), none), names_(events.size()) {
    for (std::size_t i = 0; i < events.size(); ++i)
      for (const reference& r : events[i].about) last_use_[r.made] = i;
  }

  std::string body() {
    write(0, events_.size());
    return std::move(out_);
  }

 private:
  // Whether two events, of rounds of a loop that begin at `begin` and `by` events later, are the same call.
  bool same(std::size_t i, std::size_t by, std::size_t begin) const {
    const event &a = events_[i], &b = events_[i + by];
    if (a.what != b.what || a.buffer != b.buffer || a.bytes != b.bytes || a.old_bytes != b.old_bytes ||
        a.alignment != b.alignment || a.dims != b.dims || a.about.size() != b.about.size() || a.type != b.type)
      return false;
    for (std::size_t r = 0; r < a.about.size(); ++r) {
      const std::size_t made = a.about[r].made;
      if (b.about[r].made != (made >= begin ? made + by : made) || a.about[r].bytes != b.about[r].bytes) return false;
    }
    return true;
  }
  // Whether nothing that is made from here to there is needed after it.
  bool stands_alone(std::size_t begin, std::size_t end) const {
    for (std::size_t i = begin; i < end; ++i)
      if (last_use_[i] != none && last_use_[i] >= end) return false;
    return true;
  }
  // How often the events from begin to begin + length come one after the other.
  std::size_t rounds(std::size_t begin, std::size_t length, std::size_t end) const {
    if (!stands_alone(begin, begin + length)) return 1;
    std::size_t count = 1;
    for (; begin + (count + 1) * length <= end; ++count) {
      std::size_t i = begin;
      while (i < begin + length && same(i, count * length, begin)) ++i;
      if (i < begin + length || !stands_alone(begin + count * length, begin + (count + 1) * length)) break;
    }
    return count;
  }

  void write(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end;) {
      std::size_t best_length = 0, best_rounds = 1;
      for (std::size_t length = 1; length <= std::min(longest_round, (end - i) / 2); ++length) {
        const std::size_t count = rounds(i, length, end);
        if (count > 1 && count * length > best_rounds * best_length) {
          best_length = length;
          best_rounds = count;
        }
      }
      if (best_rounds == 1) {
        i = write_one(i, end);
        continue;
      }
      const std::string round = "round" + text(++loops_);  // those around it have other names: -Wshadow
      line("for (int " + round + " = 0; " + round + " < " + text(best_rounds) + "; ++" + round + ") {");
      ++depth_;
      write(i, i + best_length);
      --depth_;
      --loops_;
      line("}");
      i += best_rounds * best_length;
    }
  }

  // Returns the number of the next event to write.
  std::size_t write_one(std::size_t i, std::size_t end) {
    const event& e = events_[i];
    const std::string buffer = name_of(e.buffer, buffers_);
    switch (e.what) {
      case call::allocate:
        make(i, "block", buffer + ".allocate(" + text(e.bytes) + ", " + text(e.alignment) + ")");
        break;
      case call::view:
        make(i, "view", "buffers::alloc<" + shaped(e, buffer) + ")");
        break;
      case call::reshape:
        line("static_cast<void>(buffers::reshape_buffer_at<" + shaped(e, buffer) + "));");
        break;
      case call::deallocate:
        line(buffer + ".deallocate(" + pointer(e.about[0]) + ", " + text(e.about[0].bytes) + ");");
        break;
      case call::drop:
        write_drop(e, buffer);
        break;
      case call::resize: {
        const bool longer = e.about[0].bytes > e.old_bytes;
        line((longer ? "static_cast<void>(" : "") + buffer + (longer ? ".try_expand(" : ".shrink(") +
             pointer(e.about[0]) + ", " + text(e.old_bytes) + ", " + text(e.about[0].bytes) + (longer ? "));" : ");"));
        break;
      }
      case call::checkpoint:
        make(i, "moment", buffer + ".checkpoint()");
        break;
      case call::restore:
        line(buffer + ".restore(" + names_[e.about[0].made] + ");");
        break;
      case call::open: {
        names_[i] = "scope" + text(++scopes_);
        const std::size_t close = last_use_[i];
        if (close < end && stands_alone(i, close + 1)) {
          line("{");
          ++depth_;
          line("buffers::scope " + names_[i] + "{" + buffer + "};");
          write(i + 1, close);
          --depth_;
          line("}");
          return close + 1;
        }
        line("buffers::dry_run::scope_mark " + names_[i] + ";");  // something of it is needed after it
        line(buffer + ".open_scope(" + names_[i] + ");");
        break;
      }
      case call::close:
        line(buffer + ".close_scope(" + names_[e.about[0].made] + ");");
        break;
      case call::reset:
        line(buffer + ".reset();");
        break;
      case call::reset_peak:
        line(buffer + ".reset_peak();");
        break;
    }
    return i + 1;
  }

  void line(const std::string& code) { out_ += std::string(2 * depth_, ' ') + code + '\n'; }

  void make(std::size_t i, const char* kind, const std::string& expression) {
    if (last_use_[i] == none) return line("static_cast<void>(" + expression + ");");
    std::size_t& count = kind[0] == 'v' ? views_ : kind[0] == 'b' ? blocks_ : moments_;
    names_[i] = kind + text(++count);
    line("const auto " + names_[i] + " = " + expression + ";");
  }

  // What stands between the angle and the closing bracket: "double>(buffer, 10, 20". Elements of other types are so
  // many bytes, in a last dimension.
  static std::string shaped(const event& e, const std::string& buffer) {
    const bool known = !e.type.name.empty();
    std::string code = (known ? std::string(e.type.name) : "char") + ">(" + buffer;
    if (e.what == call::view && e.alignment > (known ? e.type.alignment : 1))
      code += ", buffers::alignment{" + text(e.alignment) + "}";
    if (e.what == call::reshape) code += ", " + text(known ? e.bytes : e.bytes * e.type.bytes);
    for (std::size_t d : e.dims) code += ", " + text(d);
    if (!known) code += ", " + text(e.type.bytes);
    return code;
  }

  std::string pointer(const reference& r) const {
    return names_[r.made] + (events_[r.made].what == call::view ? ".data_handle()" : "");
  }

  void write_drop(const event& e, const std::string& buffer) {
    bool as_made = true;  // views, of the shape that they had
    for (const reference& r : e.about)
      as_made &= events_[r.made].what == call::view && events_[r.made].bytes == r.bytes;
    if (!as_made) {
      for (const reference& r : e.about) line(buffer + ".drop(" + pointer(r) + ", " + text(r.bytes) + ");");
      return;
    }
    std::string code = "buffers::drop(" + buffer;
    for (const reference& r : e.about) code += ", " + names_[r.made];
    line(code + ");");
  }

  const std::vector<event>& events_;
  std::size_t buffers_;
  std::vector<std::size_t> last_use_;  // of what each event made; none: it is not used
  std::vector<std::string> names_;
  std::string out_;
  std::size_t depth_ = 1, loops_ = 0, views_ = 0, blocks_ = 0, moments_ = 0, scopes_ = 0;
};

std::string padded(std::string number, std::size_t width) {
  if (number.size() < width) number.insert(0, width - number.size(), ' ');
  return number;
}

// "buffer1, buffer2", with something after each.
std::string list_of(std::size_t buffers, const char* after) {
  std::string list;
  for (std::size_t i = 0; i < buffers; ++i) list += (i == 0 ? "" : ", ") + name_of(i, buffers) + after;
  return list;
}

void write(std::ostream& os, const std::string& what) {
  os.write(what.data(), static_cast<std::streamsize>(what.size()));
}

// The comment in front of the function.
std::string head(std::span<const buffer_usage> buffers, const std::vector<std::size_t>* needed) {
  const std::string each = buffers.size() == 1 ? "the buffer" : "each buffer";
  std::string out = needed != nullptr ? "// The bytes that " + each + " needs" : "// The peak in bytes of " + each;
  out += ", as seen by buffers::print_usage:\n";
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const buffer_usage& b = buffers[i];
    std::string name = name_of(i, buffers.size());
    name.resize(std::max<std::size_t>(name.size(), 10), ' ');
    out += "//   " + name + padded(text(needed != nullptr ? (*needed)[i] : b.peak), 12) + "   (" + std::string(b.name);
    if (b.has_peak) out += ": peak " + text(b.peak);
    if (b.used_before != 0) out += ", with " + text(b.used_before) + " in use before";
    out += ")\n";
  }
  return out;
}

std::string result(std::size_t buffers, const char* after) {
  if (buffers == 1) return "  return buffer" + std::string(after) + ";\n}\n";
  return "  struct bytes {\n    decltype(sizeof(0)) " + list_of(buffers, "") + ";\n  };\n  return bytes{" +
         list_of(buffers, after) + "};\n}\n";
}

}  // namespace

void call_log::print(std::ostream& os, std::span<const buffer_usage> buffers) const {
  const rehearsal run(state_->events, buffers.size());
  const std::vector<std::size_t> needed = run.needed();
  std::vector<buffer_usage> shown(buffers.begin(), buffers.end());
  for (const event& e : state_->events)
    if (e.what == call::reshape) shown[e.buffer].has_peak = false;  // it is only that of the blocks
  write(os, head(shown, &needed) + "constexpr auto bytes_needed() {\n  buffers::dry_run " +
                list_of(buffers.size(), "") + ";\n" + writer(run.taken(), buffers.size()).body() +
                result(buffers.size(), ".peak()"));
}

void print_peaks(std::ostream& os, std::span<const buffer_usage> buffers) {
  std::string out = head(buffers, nullptr) +
                    "// The function takes the buffers by their own types: only their peaks are known.\n"
                    "constexpr auto bytes_needed() {\n";
  for (std::size_t i = 0; i < buffers.size(); ++i)
    out += "  constexpr decltype(sizeof(0)) " + name_of(i, buffers.size()) + " = " + text(buffers[i].peak) + ";\n";
  write(os, out + result(buffers.size(), ""));
}

}  // namespace buffers::detail
