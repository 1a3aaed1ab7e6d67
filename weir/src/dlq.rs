//! `weir dlq`: what could not be stored, to look at and to send again.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use weir_model::Signal;
use weir_model::otlp::{Attrs, Groups, Log, Span, validate};
use weir_transport_kafka::{Kafka, KafkaDeadLetters, LetterId, StoredLetter};

use crate::config::Config;

#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    /// Configuration file, the one of the collectors: it names the brokers.
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
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
        /// As `weir dlq list` names it, such as 0@17.
        letter: LetterId,
    },
    /// Send dead letters again to where they came from: all that were not sent again yet, or those that are named.
    Replay {
        /// As `weir dlq list` names them; sent again even where they were before.
        letters: Vec<LetterId>,
    },
}

/// Replayed letters after which it is noted how far it has come.
const NOTE_EVERY: u64 = 1_000;
/// Bytes shown of what can't be read.
const SHOWN_BYTES: usize = 256;

pub(crate) async fn run(args: DlqArgs, config: Config) -> anyhow::Result<()> {
    ensure!(
        config.kafka.is_used(),
        "dead letters are kept in Kafka: name brokers in `kafka.brokers`, best with --config and the collectors' file. \
         Without Kafka what can't be stored is counted on the status page and told in the log"
    );
    let letters = Kafka::new(config.kafka)?.dead_letters();
    match args.command {
        DlqCommand::List { all, limit } => tokio::task::block_in_place(|| list(&letters, all, limit)),
        DlqCommand::Show { letter } => {
            let letter = tokio::task::block_in_place(|| letters.find(letter)).map_err(anyhow::Error::msg)?;
            show(&letter, &mut io::stdout().lock()).context("can't write to standard output")
        }
        DlqCommand::Replay { letters: named } if named.is_empty() => {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| replay_all(&letters, &runtime))
        }
        DlqCommand::Replay { letters: named } => replay(&letters, &named).await,
    }
}

fn list(letters: &KafkaDeadLetters, all: bool, limit: usize) -> anyhow::Result<()> {
    let (mut shown, mut more) = (0, false);
    let mut out = io::stdout().lock();
    let mut written = Ok(());
    let read = letters.read(|letter| {
        if letter.sent_again && !all {
            return true;
        }
        more = shown == limit;
        if more {
            return false;
        }
        if shown == 0 {
            written = writeln!(out, "{:<10} {:<24} {:<28} {:>7}  CAUSE", "LETTER", "TIME", "FROM", "RECORDS");
        }
        shown += 1;
        let from = format!("{}/{}@{}", letter.topic, letter.partition, letter.offset);
        let again = if letter.sent_again { "(sent again) " } else { "" };
        let id = letter.id.to_string();
        if written.is_ok() {
            written = writeln!(
                out,
                "{id:<10} {:<24} {from:<28} {:>7}  {again}{}",
                letter.time, letter.records, letter.cause
            );
        }
        written.is_ok()
    });
    read.map_err(anyhow::Error::msg)?;
    written?;
    match (shown, more) {
        (0, _) if all => writeln!(out, "there are no dead letters")?,
        (0, _) => writeln!(out, "there are no dead letters that were not sent again; --all shows those too")?,
        (_, true) => writeln!(out, "and more; --limit shows them")?,
        _ => {}
    }
    Ok(())
}

fn show(letter: &StoredLetter, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "letter     {}{}", letter.id, if letter.sent_again { ", sent again" } else { "" })?;
    writeln!(out, "time       {}", letter.time)?;
    writeln!(out, "cause      {}", letter.cause)?;
    writeln!(out, "from       partition {} of {}, offset {}", letter.partition, letter.topic, letter.offset)?;
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

async fn replay(letters: &KafkaDeadLetters, named: &[LetterId]) -> anyhow::Result<()> {
    for id in named {
        let letter = tokio::task::block_in_place(|| letters.find(*id)).map_err(anyhow::Error::msg)?;
        letters.send_again(&letter).await.map_err(anyhow::Error::msg)?;
        println!("{id} was sent to partition {} of {} again", letter.partition, letter.topic);
    }
    println!("what can't be stored this time either comes back to `weir dlq list`");
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
    match sent {
        0 => println!("nothing was sent again"),
        sent => println!(
            "{sent} dead letters were sent again; what can't be stored this time either comes back to `weir dlq list`"
        ),
    }
    if let Some(problem) = problem {
        bail!(problem);
    }
    read.and(noted).map_err(anyhow::Error::msg)
}
