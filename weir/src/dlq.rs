//! `weir dlq`: what could not be stored, to look at and to send again. Where Kafka carries the data it is there, else in the data folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use clap::{Args, Subcommand};
use weir_model::Signal;
use weir_model::otlp::{Attrs, Groups, Log, Span, validate};
use weir_transport::disk_log::DiskDeadLetters;
use weir_transport_kafka::{Kafka, KafkaDeadLetters, LetterId, StoredLetter};

use crate::config::Config;
use crate::control::{self, NOTE_EVERY, Running, Told, Which, gone};
use crate::wiring::{DEAD_LETTERS, DataFolder, open_letters};

#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    /// Configuration file, the one of the collectors: it says whether brokers carry the data.
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of `weir up` or `weir collector`, where no broker carries the data.
    #[arg(long, global = true, default_value = "weir-data")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// List dead letters, the oldest first.
    List {
        /// Those too that were sent again.
        #[arg(long)]
        all: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a dead letter: why it is one, where it stood, and its records.
    Show {
        /// As `weir dlq list` names it, such as 17, or of Kafka 0@17.
        letter: String,
    },
    /// Send dead letters again to where they came from: all that were not sent again yet, or those that are named.
    Replay {
        /// As `weir dlq list` names them; sent again even where they were before.
        letters: Vec<String>,
    },
}

/// Bytes shown of what can't be read.
const SHOWN_BYTES: usize = 256;
/// Said after a replay.
const COMES_BACK: &str = "what can't be stored this time either comes back to `weir dlq list`";

/// A letter for a person.
struct Shown {
    id: String,
    time: String,
    cause: String,
    /// Where it stood, in a word and in a sentence.
    from: String,
    stood: String,
    signal: Option<Signal>,
    records: u64,
    sent_again: bool,
    body: Bytes,
}

impl From<StoredLetter> for Shown {
    fn from(letter: StoredLetter) -> Self {
        let StoredLetter { topic, partition, offset, .. } = &letter;
        Self {
            id: letter.id.to_string(),
            from: format!("{topic}/{partition}@{offset}"),
            stood: format!("partition {partition} of {topic}, offset {offset}"),
            time: letter.time,
            cause: letter.cause,
            signal: letter.signal,
            records: letter.records,
            sent_again: letter.sent_again,
            body: letter.body,
        }
    }
}

impl TryFrom<Told> for Shown {
    type Error = anyhow::Error;

    fn try_from(letter: Told) -> anyhow::Result<Self> {
        let (signal, position) = (&letter.signal, letter.position);
        let milliseconds = (letter.time / 1_000_000) as i64;
        Ok(Self {
            id: letter.number.to_string(),
            from: format!("{signal}/{}@{position}", letter.partition),
            stood: format!("the log of {signal}, position {position}"),
            time: jiff::Timestamp::from_millisecond(milliseconds)
                .map_or(String::new(), |time| time.to_string()),
            signal: letter.signal(),
            records: letter.records,
            sent_again: letter.sent_again,
            body: letter.body()?,
            cause: letter.cause,
        })
    }
}

pub(crate) async fn run(args: DlqArgs, config: Config) -> anyhow::Result<()> {
    if config.kafka.is_used() {
        return in_kafka(args.command, &Kafka::new(config.kafka)?.dead_letters()).await;
    }
    ensure!(
        args.data_dir.is_dir(),
        "there is no folder {}; --data-dir names the one of `weir up` or `weir collector`. Where Kafka carries the data, --config with the \
         collectors' file names the brokers",
        args.data_dir.display()
    );
    // Whoever has the folder answers for it; where nobody does, it can be read.
    match Running::find(&args.data_dir).await? {
        Some(running) => in_running(args.command, &running).await,
        None => tokio::task::block_in_place(|| in_folder(args.command, &args.data_dir, &config)),
    }
}

async fn in_running(command: DlqCommand, running: &Running) -> anyhow::Result<()> {
    match command {
        DlqCommand::List { all, limit } => told(running.list(Which { all, limit }).await?, all),
        DlqCommand::Show { letter } => show(&running.find_letter(number(&letter)?).await?.try_into()?),
        DlqCommand::Replay { letters } => {
            let numbers = letters.iter().map(|letter| number(letter)).collect::<anyhow::Result<Vec<_>>>()?;
            let done = running.replay(&numbers).await?;
            sent_again(done.sent);
            done.problem.map_or(Ok(()), |problem| Err(anyhow!(problem)))
        }
    }
}

fn in_folder(command: DlqCommand, path: &Path, config: &Config) -> anyhow::Result<()> {
    let folder = DataFolder::open(path)
        .context("nobody answers at its control.sock, and it can't be read directly")?;
    let kept: Option<Arc<DiskDeadLetters>> = match folder.disk.exists(&folder.path.join(DEAD_LETTERS))? {
        true => Some(open_letters(&folder, config)?),
        false => None,
    };
    match command {
        DlqCommand::List { all, limit } => {
            let nothing = control::List { letters: Vec::new(), more: false, removed: 0 };
            told(kept.map_or(Ok(nothing), |kept| control::list(&kept, Which { all, limit }))?, all)
        }
        DlqCommand::Show { letter } => {
            let number = number(&letter)?;
            let found = kept.map_or(Ok(None), |kept| kept.find(number))?;
            show(&Told::whole(&found.ok_or_else(|| anyhow!(gone(number)))?).try_into()?)
        }
        DlqCommand::Replay { .. } => bail!(
            "letters are sent again by the process that has the data folder, and none has {}: start `weir up` or `weir collector`",
            folder.path.display()
        ),
    }
}

fn number(letter: &str) -> anyhow::Result<u64> {
    letter.parse().map_err(|_| anyhow!("`{letter}` is no dead letter; they are named by numbers, like 17"))
}

/// A list with its head, and what is to be said below it.
struct Table<W> {
    out: W,
    lines: usize,
}

impl<W: Write> Table<W> {
    fn line(&mut self, letter: &Shown) -> io::Result<()> {
        if self.lines == 0 {
            writeln!(self.out, "{:<10} {:<24} {:<28} {:>7}  CAUSE", "LETTER", "TIME", "FROM", "RECORDS")?;
        }
        self.lines += 1;
        let Shown { id, time, from, records, cause, .. } = letter;
        let again = if letter.sent_again { "(sent again) " } else { "" };
        writeln!(self.out, "{id:<10} {time:<24} {from:<28} {records:>7}  {again}{cause}")
    }

    fn end(mut self, all: bool, more: bool) -> io::Result<()> {
        match (self.lines, more) {
            (_, true) => writeln!(self.out, "and more; --limit shows them"),
            (0, _) if all => writeln!(self.out, "there are no dead letters"),
            (0, _) => {
                writeln!(
                    self.out,
                    "there are no dead letters that were not sent again; --all shows those too"
                )
            }
            _ => Ok(()),
        }
    }
}

fn told(list: control::List, all: bool) -> anyhow::Result<()> {
    let mut table = Table { out: io::stdout().lock(), lines: 0 };
    for letter in list.letters {
        table.line(&letter.try_into()?)?;
    }
    if list.removed > 0 {
        writeln!(
            table.out,
            "{} older ones were removed for want of room (collector.dead_letter_bytes)",
            list.removed
        )?;
    }
    Ok(table.end(all, list.more)?)
}

fn show(letter: &Shown) -> anyhow::Result<()> {
    write_letter(letter, &mut io::stdout().lock()).context("can't write to standard output")
}

fn write_letter(letter: &Shown, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "letter     {}{}", letter.id, if letter.sent_again { ", sent again" } else { "" })?;
    writeln!(out, "time       {}", letter.time)?;
    writeln!(out, "cause      {}", letter.cause)?;
    writeln!(out, "from       {}", letter.stood)?;
    writeln!(out, "bytes      {}", letter.body.len())?;
    let readable = letter.signal.filter(|signal| validate(*signal, &letter.body).is_ok());
    let Some(signal) = readable.filter(|_| letter.records > 0) else {
        let bytes = &letter.body[..letter.body.len().min(SHOWN_BYTES)];
        let more = if letter.body.len() > SHOWN_BYTES { " ..." } else { "" };
        return writeln!(out, "content    {}{more}", bytes.escape_ascii());
    };
    for group in Groups::new(&letter.body) {
        for record in group.records() {
            writeln!(out, "\n{signal}, service {:?}", group.resource.service())?;
            attributes(group.resource.attrs(), "resource.", out)?;
            let attrs = match signal {
                Signal::Spans => {
                    let span = Span::decode(record);
                    writeln!(out, "    name = {}", span.name)?;
                    span.attrs()
                }
                _ => {
                    let log = Log::decode(record);
                    let body = weir_store::value_text(log.body).unwrap_or_default();
                    body.lines().try_for_each(|line| writeln!(out, "    | {line}"))?;
                    log.attrs()
                }
            };
            attributes(attrs, "", out)?;
        }
    }
    Ok(())
}

fn attributes(attrs: Attrs<'_>, prefix: &str, out: &mut impl Write) -> io::Result<()> {
    for attr in attrs.iter() {
        match weir_store::value_text(attr.value) {
            Some(text) => writeln!(out, "    {prefix}{} = {text}", attr.key)?,
            None => writeln!(out, "    {prefix}{} = {:?}", attr.key, attr.value)?,
        }
    }
    Ok(())
}

fn sent_again(count: u64) {
    match count {
        0 => println!("nothing was sent again"),
        1 => println!("1 dead letter was sent again; {COMES_BACK}"),
        count => println!("{count} dead letters were sent again; {COMES_BACK}"),
    }
}

async fn in_kafka(command: DlqCommand, letters: &KafkaDeadLetters) -> anyhow::Result<()> {
    let id = |letter: &String| letter.parse::<LetterId>().map_err(anyhow::Error::msg);
    match command {
        DlqCommand::List { all, limit } => tokio::task::block_in_place(|| list(letters, all, limit)),
        DlqCommand::Show { letter } => {
            let id = id(&letter)?;
            show(&tokio::task::block_in_place(|| letters.find(id)).map_err(anyhow::Error::msg)?.into())
        }
        DlqCommand::Replay { letters: named } if named.is_empty() => {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| replay_all(letters, &runtime))
        }
        DlqCommand::Replay { letters: named } => {
            replay(letters, &named.iter().map(id).collect::<anyhow::Result<Vec<_>>>()?).await
        }
    }
}

fn list(letters: &KafkaDeadLetters, all: bool, limit: usize) -> anyhow::Result<()> {
    let mut table = Table { out: io::stdout().lock(), lines: 0 };
    let (mut more, mut written) = (false, Ok(()));
    let read = letters.read(|letter| {
        if letter.sent_again && !all {
            return true;
        }
        more = table.lines == limit;
        if !more {
            written = table.line(&letter.into());
        }
        !more && written.is_ok()
    });
    read.map_err(anyhow::Error::msg)?;
    written?;
    Ok(table.end(all, more)?)
}

async fn replay(letters: &KafkaDeadLetters, named: &[LetterId]) -> anyhow::Result<()> {
    for id in named {
        let letter = tokio::task::block_in_place(|| letters.find(*id)).map_err(anyhow::Error::msg)?;
        letters.send_again(&letter).await.map_err(anyhow::Error::msg)?;
        println!("{id} was sent to partition {} of {} again", letter.partition, letter.topic);
    }
    println!("{COMES_BACK}");
    Ok(())
}

fn replay_all(letters: &KafkaDeadLetters, runtime: &tokio::runtime::Handle) -> anyhow::Result<()> {
    let (mut sent, mut unnoted, mut last, mut problem) = (0_u64, 0, None::<LetterId>, None);
    let note = |last: Option<LetterId>| last.map_or(Ok(()), |id| letters.note_sent_again(id));
    let read = letters.read(|letter| {
        if last.is_some_and(|last| last.partition != letter.id.partition) || unnoted == NOTE_EVERY {
            problem = note(last.take()).err();
            unnoted = 0;
        }
        if problem.is_none() && !letter.sent_again {
            problem = runtime.block_on(letters.send_again(&letter)).err();
            if problem.is_none() {
                (sent, unnoted, last) = (sent + 1, unnoted + 1, Some(letter.id));
            }
        }
        problem.is_none()
    });
    let noted = note(last);
    sent_again(sent);
    if let Some(problem) = problem {
        bail!(problem);
    }
    read.and(noted).map_err(anyhow::Error::msg)
}
