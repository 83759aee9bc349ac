//! The way of a request to the registry: to the running service, or into the file where none runs.

use std::io::{Write, stderr};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::Value;
use vagn_flow::clock::SystemClock;
use vagn_registry::{Registry, RegistryError};
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, StoreError};

use super::RegistryArgs;
use crate::commands::exit::{Coded, of_control};
use crate::commands::owner::Before;
use crate::control::{
    ClientError, ControlLine, ControlRequest, Deeds, Problem, RegistryFault, SOCKET, Tell, connect,
    open_registry, read_copy, read_registry,
};

/// Longest that a command tries again while others speak to the service or have the file.
const TRY_WITHIN: Duration = Duration::from_secs(10);

/// First pause before another try; the next ones are longer, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The way for some requests, one after the other. It asks a service that runs, and once it has the file it keeps it.
pub(super) struct Way<'a> {
    args: &'a RegistryArgs,
    file: Option<OpenFile>,
}

/// The file. The data directory is locked as long as this is held.
struct OpenFile {
    deeds: Deeds,
    _data: DataDir,
}

/// The reason that a request was not fulfilled.
enum Refused {
    /// Others are in the way: nothing was done, and it may be tried again.
    Busy(anyhow::Error),
    /// Anything else.
    ForGood(anyhow::Error),
}

impl<T: Into<anyhow::Error>> From<T> for Refused {
    fn from(err: T) -> Self {
        Self::ForGood(err.into())
    }
}

impl<'a> Way<'a> {
    pub(super) fn new(args: &'a RegistryArgs) -> Self {
        Self { args, file: None }
    }

    /// Fulfils a request. Items of a list go to `take`.
    pub(super) fn ask(
        &mut self,
        request: &ControlRequest,
        take: &mut dyn FnMut(Value),
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + TRY_WITHIN;
        let mut pause = PAUSE.0;
        loop {
            match self.try_once(request, take) {
                Ok(done) => return Ok(done),
                Err(Refused::Busy(_)) if Instant::now() < until => {
                    // By chance, so that commands that were begun together do not come back together.
                    sleep(pause.mul_f64(0.5 + fastrand::f64()));
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(Refused::Busy(err) | Refused::ForGood(err)) => return Err(err),
            }
        }
    }

    fn try_once(&mut self, request: &ControlRequest, take: &mut dyn FnMut(Value)) -> Result<Value, Refused> {
        let tell: &mut Tell<'_> = &mut |line| {
            if let ControlLine::Item(item) = line {
                take(item);
            }
            Ok(())
        };
        if let Some(file) = &self.file {
            return Ok(file.deeds.perform(request.clone(), tell).map_err(of_control)?);
        }
        match connect(&self.args.data_dir) {
            Ok(service) => service.ask(request, tell).map_err(|err| match err.problem {
                Problem::Busy => Refused::Busy(of_control(err)),
                _ => Refused::ForGood(of_control(err)),
            }),
            Err(ClientError::NoService) => {
                self.file = Some(self.args.open(request)?);
                self.try_once(request, take)
            }
            Err(ClientError::Io(err)) => Err(unreached(&self.args.data_dir, &err).into()),
        }
    }
}

fn unreached(dir: &Path, err: &std::io::Error) -> Coded {
    if err.kind() == std::io::ErrorKind::NotADirectory {
        return Coded::usage(format!(
            "{} is no directory; name the data directory of the service with --data-dir",
            dir.display()
        ));
    }
    Coded::unavailable(format!(
        "the service cannot be asked: {}: {err}; run the command as the user of the service",
        dir.join(SOCKET).display()
    ))
}

impl RegistryArgs {
    /// Opens the file; it is made only where something is to be put into it.
    fn open(&self, request: &ControlRequest) -> Result<OpenFile, Refused> {
        if self.data_dir.join(Registry::COPY_DIR).join(Registry::FILE).exists() {
            return self.open_node(request);
        }
        let file = self.data_dir.join(Registry::FILE);
        if !request.makes() && !file.exists() {
            let file = file.display();
            return Err(
                Coded::usage(format!("there is no registry {file}; --data-dir says where to look")).into()
            );
        }
        let before = Before::of(&self.data_dir);
        let is_new = !before.has_data();
        let opened = self.open_files(request);
        if let Err(Refused::Busy(err)) = opened {
            // Nothing was made here, and this may be tried often.
            return Err(Refused::Busy(err));
        }
        let (data, registry) = before.hand_over(opened)?;
        if is_new {
            let dir = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
            // Fails only when standard error is closed; the deed is done all the same.
            writeln!(
                stderr(),
                "made a new data directory at {}; no service runs on it. If you mean that of a running service, name it with --data-dir",
                dir.display()
            )
            .ok();
        }
        let clock = Arc::new(SystemClock::new());
        let deeds = Deeds { registry, clock, origin: "".into(), guard: None };
        Ok(OpenFile { deeds, _data: data })
    }

    /// Opens the copy of a node of a cluster. What is changed must go to the brokers, to which only a node that runs has a way.
    fn open_node(&self, request: &ControlRequest) -> Result<OpenFile, Refused> {
        if !request.only_reads() {
            let dir = self.data_dir.display();
            return Err(Coded::unavailable(format!(
                "{dir} is the data directory of a node of a cluster that does not run, and devices, tokens and shares are changed at the brokers: \
                 start the node, or run the command at another one"
            ))
            .into());
        }
        let data = DataDir::open(Arc::new(RealDisk), &self.data_dir, None, fastrand::u64(..))
            .map_err(of_data_dir)?;
        let registry = read_copy(&self.data_dir, self.registry_key_file.as_deref()).map_err(of_registry)?;
        let clock = Arc::new(SystemClock::new());
        Ok(OpenFile { deeds: Deeds { registry, clock, origin: "".into(), guard: None }, _data: data })
    }

    fn open_files(&self, request: &ControlRequest) -> Result<(DataDir, Registry), Refused> {
        let data = DataDir::open(Arc::new(RealDisk), &self.data_dir, None, fastrand::u64(..))
            .map_err(of_data_dir)?;
        let key_file = self.registry_key_file.as_deref();
        let open = if request.only_reads() { read_registry } else { open_registry };
        let registry = open(&self.data_dir, &data.part_list(), key_file).map_err(of_registry)?;
        Ok((data, registry))
    }
}

fn of_data_dir(err: StoreError) -> Refused {
    match err {
        StoreError::InUse { .. } => Refused::Busy(
            Coded::unavailable(format!(
                "{err}, and its control socket does not answer: wait until the command there has ended or the service has started, or \
                 look for `control` in its log"
            ))
            .into(),
        ),
        err => Refused::ForGood(anyhow::Error::new(err).context("open the data directory")),
    }
}

fn of_registry(err: RegistryFault) -> anyhow::Error {
    match err {
        RegistryFault::Registry(RegistryError::KeyMissing | RegistryError::WrongKey) => {
            Coded::usage(format!("{err}, or give it with --registry-key-file")).into()
        }
        RegistryFault::Registry(RegistryError::InUse) => Coded::unavailable(err.to_string()).into(),
        RegistryFault::KeyFile { .. } => Coded::usage(err.to_string()).into(),
        err => anyhow!(err),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn args(dir: &Path) -> RegistryArgs {
        RegistryArgs { data_dir: dir.to_owned(), registry_key_file: None, json: false }
    }

    fn list(dir: &Path) -> anyhow::Result<Value> {
        Way::new(&args(dir)).ask(&ControlRequest::TokenList {}, &mut |_| {})
    }

    #[test]
    fn a_busy_service_is_asked_again_over_one_connection_each() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        let service = std::thread::spawn(move || {
            let busy = r#"{"error":{"problem":"busy","message":"too many"}}"#;
            [busy, busy, r#"{"ok":{"count":7}}"#].map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                BufReader::new(&stream).read_line(&mut request).unwrap();
                writeln!(stream, "{answer}").unwrap();
                request
            })
        });
        assert_eq!(list(dir.path()).unwrap()["count"], 7);
        let heard = service.join().unwrap();
        assert!(heard.iter().all(|request| request.starts_with(r#"{"token_list""#)), "{heard:?}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named_with_the_reason() {
        let add = ControlRequest::ShareAdd { vehicle_id: "bus 7".into(), expires_in_ms: 1 };
        let said = Way::new(&args(Path::new("/proc/no directory"))).ask(&add, &mut |_| {}).unwrap_err();
        assert!(format!("{said:#}").starts_with("open the data directory"), "{said:#}");
    }

    #[test]
    fn what_was_made_is_handed_over_where_the_file_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let is_root = std::fs::metadata(dir.path()).unwrap().uid() == 0;
        if is_root {
            chown(dir.path(), Some(4321), None).unwrap();
        }
        let args = RegistryArgs { registry_key_file: Some(dir.path().join("no key")), ..args(dir.path()) };
        let add = ControlRequest::ShareAdd { vehicle_id: "bus 7".into(), expires_in_ms: 1 };
        assert!(Way::new(&args).ask(&add, &mut |_| {}).is_err());
        let manifest = std::fs::metadata(dir.path().join("manifest")).unwrap();
        assert!(!is_root || manifest.uid() == 4321, "the service could not read it");
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let said = list(&path).unwrap_err().to_string();
            assert!(said.contains("is no directory"), "{said}");
        }
    }
}
